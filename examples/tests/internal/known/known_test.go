package known

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"example.com/wordfreq/internal/count"
	"github.com/google/go-cmp/cmp"
)

var dictionary string // its URL

// The Dockerfile mounts the server at /svc. Elsewhere, DICTIONARY names it.
func TestMain(m *testing.M) {
	program := os.Getenv("DICTIONARY")
	if program == "" {
		program = "/svc/dictionary"
	}
	server := exec.Command(program)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err == nil {
		dictionary, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the dictionary server (go build -o DIR ./services/dictionary, DICTIONARY=DIR/dictionary):", err)
		os.Exit(1)
	}
	dictionary = strings.TrimSpace(dictionary)
	code := m.Run()
	server.Process.Kill()
	server.Wait()
	os.Exit(code)
}

func TestWords(t *testing.T) {
	got, err := Words(t.Context(), dictionary, []count.Word{{Text: "peas", Count: 3}, {Text: "jelly", Count: 2}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]count.Word{{Text: "peas", Count: 3}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWordsWithoutServer(t *testing.T) {
	if _, err := Words(t.Context(), "http://127.0.0.1:1", []count.Word{{Text: "peas", Count: 3}}); err == nil {
		t.Error("no error")
	}
}
