package gomod

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsBlank(t *testing.T) {
	for text, want := range map[string]bool{
		"":                           true,
		"\n\n":                       true,
		"// Keeps Go out of here.\n": true,
		"/* a module */":             false, // which is no comment of go.mod
		"module example.com/m\n":     false,
		"// module\nmodule m // x\n": false,
		"go 1.26\n":                  false, // someone meant it, and forgot a line
		"modul example.com/m\n":      false,
		"\x00":                       false,
	} {
		require.Equal(t, want, IsBlank([]byte(text)), "%q", text)
	}
}
