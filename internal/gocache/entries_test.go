package gocache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOutputs(t *testing.T) {
	d := Dir(t.TempDir())
	store(t, d, "make one", "one")
	store(t, d, "make one again", "one")
	store(t, d, "make two", "two")
	outputs, err := Outputs(os.DirFS(string(d)))
	require.NoError(t, err)
	require.Equal(t, map[string]string{id("make one"): id("one"), id("make one again"): id("one"), id("make two"): id("two")}, outputs)
	require.NoError(t, CheckOutputs(t.Context(), os.DirFS(string(d)), outputs))
	require.FileExists(t, filepath.Join(string(d), EntryName(id("make two"))))

	require.NoError(t, os.WriteFile(d.file(id("two"), "d"), []byte("six"), 0o644))
	require.ErrorContains(t, CheckOutputs(t.Context(), os.DirFS(string(d)), outputs), "has the SHA-256 "+id("six"))
}

// What isn't entries and their outputs is refused.
func TestHostileEntries(t *testing.T) {
	action, output := id("make one"), id("one")
	a, o := EntryName(action), fileName(output, "d")
	line := entry{action, output, 3}.line(time.Unix(0, 0))
	for want, change := range map[string]func(fstest.MapFS){
		"README\" is no file":   func(f fstest.MapFS) { f["README"] = &fstest.MapFile{} },
		"is no file of a GOCAC": func(f fstest.MapFS) { f["ff/"+output+"-d"] = f[o] },
		"-x\" is no file":       func(f fstest.MapFS) { f[fileName(output, "x")] = f[o] },
		"larder.turns\" is no":  func(f fstest.MapFS) { f["larder.turns"] = &fstest.MapFile{} },
		strings.ToUpper(output): func(f fstest.MapFS) { f[output[:2]+"/"+strings.ToUpper(output)+"-d"] = f[o] },
		"-d\" is no file":       func(f fstest.MapFS) { f[o].Mode = os.ModeSymlink },
		"-a\" is no file":       func(f fstest.MapFS) { f[a].Mode = os.ModeDevice },
		"bytes: expected 175":   func(f fstest.MapFS) { f[a].Data = []byte(line + "\n") },
		"a go command would re": func(f fstest.MapFS) { f[a].Data = []byte(strings.Replace(line, "v1", "v2", 1)) },
		"that isn't there":      func(f fstest.MapFS) { f[o].Data = []byte("four") },
		"of 3 bytes that isn't": func(f fstest.MapFS) { delete(f, o) },
		"no entry names":        func(f fstest.MapFS) { delete(f, a) },
	} {
		files := fstest.MapFS{a: {Data: []byte(line)}, o: {Data: []byte("one")}}
		_, err := Outputs(files)
		require.NoError(t, err)
		change(files)
		_, err = Outputs(files)
		require.ErrorContains(t, err, want)
	}
}
