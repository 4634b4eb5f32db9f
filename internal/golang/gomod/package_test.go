package gomod

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

func TestModuleOf(t *testing.T) {
	list := []module.Version{{Path: "a.example/m/sub", Version: "v2.0.0"}, {Path: "a.example/m", Version: "v1.0.0"}, {Path: "a.example/m/sub-x", Version: "v3.0.0"}}
	for pkg, want := range map[string]module.Version{
		"a.example/m":         list[1],
		"a.example/m/cmd/x":   list[1],
		"a.example/m/sub":     list[0],
		"a.example/m/sub/cmd": list[0],
		"a.example/m/sub-y":   list[1],
		"a.example/more":      {},
	} {
		require.Equal(t, want, ModuleOf(pkg, list), pkg)
	}
}
