package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestInitIsAccepted wants what 'larder init' writes for each tree that its own tests have to be planned by larder and
// read by bake.
func TestInitIsAccepted(t *testing.T) {
	trees, err := filepath.Glob(filepath.Join(testkit.Root(t), "internal", "cli", "scaffold", "testdata", "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, trees)
	larder, buildx := testkit.Larder(t, "larder"), testkit.Tool(t, "buildx")
	t.Setenv("BUILDX_CONFIG", t.TempDir())
	for _, file := range trees {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := os.ReadFile(file)
			require.NoError(t, err)
			dir := testkit.Tree(t, string(archive))
			testkit.Run(t, larder, "init", "--force", dir)
			withoutRequirements(t, dir)
			testkit.Run(t, larder, "plan", dir)
			cmd := exec.CommandContext(t.Context(), buildx, "bake", "--print")
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), `"org.opencontainers.image.version": "dev"`)
		})
	}
}

// withoutRequirements takes the modules out of the go.mod files of a tree that a go.sum would have to list.
func withoutRequirements(t *testing.T, dir string) {
	err := filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(file) != "go.mod" {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		text := regexp.MustCompile(`(?m)^.* v1\..*\n`).ReplaceAllString(string(data), "")
		return os.WriteFile(file, []byte(text), 0o644)
	})
	require.NoError(t, err)
}
