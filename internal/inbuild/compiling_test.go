package inbuild

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Names of packages are counted, and messages are passed on, however the text is cut.
func TestCompiling(t *testing.T) {
	text := "internal/goarch\nexample.com/a.b/c-d/v2\n# example.com/bad\n./m.go:3:1: syntax error\ngo: no such tool \"x\"\n\nruntime\nno end"
	for size := 1; size <= len(text); size++ {
		var messages, told bytes.Buffer
		c := &packageCounter{messages: &messages}
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			_, err := c.Write([]byte(rest[:min(size, len(rest))]))
			require.NoError(t, err)
		}
		require.NoError(t, c.flush())
		require.Equal(t, "# example.com/bad\n./m.go:3:1: syntax error\ngo: no such tool \"x\"\n\nno end", messages.String())
		c.tell(&told, "a\nb\nc\nd\n")
		c.tell(&told, "")
		require.Equal(t, "compiled 3 of 4 packages\ncompiled 3 packages\n", told.String())
	}
}

// The go command writes the names as they are read here.
func TestCompilingGoCommand(t *testing.T) {
	t.Setenv("GOCACHE", t.TempDir())
	t.Setenv("GOFLAGS", "")
	var messages bytes.Buffer
	c := &packageCounter{messages: &messages}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-export", "-deps", "-v", "errors")
	cmd.Stderr = c
	listed, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, c.flush())
	require.Empty(t, messages.String())
	require.Equal(t, strings.Count(string(listed), "\n"), c.count+1, fmt.Sprint("all but unsafe, which isn't compiled: ", string(listed)))
}
