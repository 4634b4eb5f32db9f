package request

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The images of a Dockerfile are known wherever it is on this machine, and standard input is all there afterwards.
func TestImageContexts(t *testing.T) {
	module, files := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("module m\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(files, "Dockerfile"), []byte("ARG V=1\nFROM alpine:$V\n"), 0o644))
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "Dockerfile", Size: 5, Mode: 0o644}))
	_, err := w.Write([]byte("FROM "))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	long := "FROM busybox\n" + strings.Repeat("# a comment\n", 1000)
	for name, tt := range map[string]struct {
		options Options
		stdin   string
		want    []string
		known   bool
	}{
		"folder":                  {Options{Context: files}, "x", []string{"docker.io/library/alpine:1"}, true},
		"arguments":               {Options{Context: files, BuildArgs: []string{"V=2"}}, "x", []string{"docker.io/library/alpine:2"}, true},
		"a context of the user's": {Options{Context: files, BuildContexts: []string{"alpine:1=" + files}}, "", nil, true},
		"module":                  {Options{Context: module}, "x", []string{"ghcr.io/larder-build/larder:1"}, true},
		"file on stdin":           {Options{Context: files, File: "-"}, long, []string{"docker.io/library/busybox:latest"}, true},
		"nothing but stdin":       {Options{Context: "-"}, long, []string{"docker.io/library/busybox:latest"}, true},
		"archive":                 {Options{Context: "-"}, archive.String(), nil, false},
		"archive and a name":      {Options{Context: "-", File: "Dockerfile"}, archive.String(), nil, false},
		"repository":              {Options{Context: "https://git.example/x.git"}, "x", nil, false},
	} {
		h := Host{Stdin: strings.NewReader(tt.stdin)}
		got, known, err := ImageContexts(t.Context(), tt.options, &h)
		require.NoError(t, err, name)
		require.Equal(t, tt.known, known, name)
		require.Equal(t, tt.want, got, name)
		rest, err := io.ReadAll(h.Stdin)
		require.NoError(t, err)
		require.True(t, tt.stdin == string(rest), name)
	}
	_, _, err = ImageContexts(t.Context(), Options{Context: t.TempDir()}, &Host{})
	require.ErrorContains(t, err, "neither a Dockerfile nor a go.mod")
}
