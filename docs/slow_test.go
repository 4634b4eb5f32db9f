//go:build slow

package docs

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestSlowCommands runs the commands of the documents that TestCommands leaves out.
func TestSlowCommands(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(testkit.Root(t), "docs", "*.md"))
	require.NoError(t, err)
	var names []string
	for _, file := range documents {
		name, err := filepath.Rel(testkit.Root(t), file)
		require.NoError(t, err)
		if name = filepath.ToSlash(name); !slices.Contains(first, name) {
			names = append(names, name)
		}
	}
	require.NotEmpty(t, names)
	newWorld(t).documents(names)
}
