package gomod

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

func TestReplaces(t *testing.T) {
	mod, err := modfile.Parse("go.mod", []byte("module example.com/x\n"+
		"replace example.com/a v1.0.0 => ../a1\nreplace example.com/a => ../a\nreplace example.com/b => ../b\nreplace example.com/c v1.0.0 => ../c\n"), nil)
	require.NoError(t, err)
	work, err := modfile.ParseWork("go.work", []byte("go 1.26\nreplace example.com/b => ../work\n"), nil)
	require.NoError(t, err)
	var lines Replaces
	lines.AddMod("go.mod", mod.Replace)
	lines.AddWork("go.work", work.Replace)
	for of, want := range map[module.Version]string{
		{Path: "example.com/a", Version: "v1.0.0"}: "go.mod ../a1",
		{Path: "example.com/a", Version: "v1.1.0"}: "go.mod ../a",
		{Path: "example.com/b", Version: "v1.0.0"}: "go.work ../work",
		{Path: "example.com/c", Version: "v1.0.0"}: "go.mod ../c",
		{Path: "example.com/c", Version: "v0.9.0"}: "",
	} {
		got := ""
		if line, ok := lines.Of(of); ok {
			got = line.File + " " + line.New.Path
		}
		require.Equal(t, want, got, of)
	}
}
