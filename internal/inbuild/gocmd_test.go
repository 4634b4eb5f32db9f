package inbuild

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGoStampsWhatItBuilds(t *testing.T) {
	src, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(src, "go.mod"), []byte("module x.example/y\n\ngo 1.25\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(src, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644))
	t.Chdir(src)
	var stdout, stderr bytes.Buffer
	code := Main(t.Context(), []string{"go", "--stamp", out, "--", "build", "-o", filepath.Join(out, "usr/local/bin/y"), "."}, &stdout, &stderr)
	require.Zero(t, code, stderr.String())
	for _, name := range []string{".", "usr", "usr/local/bin", "usr/local/bin/y"} {
		fi, err := os.Stat(filepath.Join(out, name))
		require.NoError(t, err)
		require.True(t, fi.ModTime().Equal(time.Unix(0, 0)), name)
	}
}

// The go command says on its own what is wrong; its exit code is the step's.
func TestGoFailure(t *testing.T) {
	src := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(src, "go.mod"), []byte("module x.example/y\n\ngo 1.25\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(src, "main.go"), []byte("package main\n\nfunc main() { oops }\n"), 0o644))
	t.Chdir(src)
	var stdout, stderr bytes.Buffer
	code := Main(t.Context(), []string{"go", "--stamp", t.TempDir(), "--", "build", "-o", t.TempDir(), "."}, &stdout, &stderr)
	require.Equal(t, 1, code)
	require.Contains(t, stderr.String(), "undefined: oops")
	require.NotContains(t, stderr.String(), "larder:")

	stderr.Reset()
	require.Equal(t, 2, Main(t.Context(), []string{"go", "build"}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "--stamp is missing")
}
