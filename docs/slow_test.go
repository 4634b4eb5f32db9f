//go:build slow

package docs

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSlowCommands runs the commands of the documents that TestCommands leaves out.
func TestSlowCommands(t *testing.T) {
	names := slices.DeleteFunc(documents(t), func(name string) bool { return slices.Contains(first, name) })
	require.NotEmpty(t, names)
	newWorld(t).follow(names)
}
