package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "chores.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOnce(t *testing.T) {
	file := write(t, "- {name: a, every: 1h, run: echo one}\n- {name: b, every: 1h, run: exit 3}\n- {name: c, every: 1h, run: echo two}\n")
	var out bytes.Buffer
	err := run(t.Context(), file, true, &out)
	if err == nil || err.Error() != "b: exit status 3" {
		t.Errorf("got error %v", err)
	}
	if out.String() != "one\ntwo\n" {
		t.Errorf("printed %q", &out)
	}
}

func TestAgainAndAgain(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	file := write(t, "- {name: a, every: 1ms, run: 'echo x >>"+count+"; exit 3'}\n")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, file, false, &bytes.Buffer{}) }()
	for lines := 0; lines < 2; time.Sleep(time.Millisecond) {
		data, _ := os.ReadFile(count) // it isn't there at first
		lines = strings.Count(string(data), "\n")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestIncomplete(t *testing.T) {
	if _, err := load(write(t, "- {name: a, run: echo}\n")); err == nil || !strings.Contains(err.Error(), "every how long") {
		t.Errorf("got error %v", err)
	}
}
