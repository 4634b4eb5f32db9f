package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// contributing returns the commands of CONTRIBUTING.md, and its text.
func contributing(t *testing.T) (commands []string, text string) {
	data, err := os.ReadFile(filepath.Join(testkit.Root(t), "CONTRIBUTING.md"))
	require.NoError(t, err)
	for _, block := range testkit.Blocks(string(data), "console") {
		for line := range strings.Lines(block) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			require.True(t, ok, line)
			commands = append(commands, command)
		}
	}
	return commands, string(data)
}

// Every command is one of make, which knows how to do it. CI runs "make test", which begins with set-up, tools and lint;
// TestSlowPlain runs "make test-plain", and the others take what longer than a test has.
func TestContributing(t *testing.T) {
	commands, text := contributing(t)
	require.NotEmpty(t, commands)
	for _, command := range commands {
		require.Regexp(t, `^make [a-z]`, command)
		cmd := exec.CommandContext(t.Context(), "bash", "-euc", strings.Replace(command, "make", "make --dry-run", 1))
		cmd.Dir = testkit.Root(t)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
	}
	for _, link := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(text, -1) {
		_, err := os.Stat(filepath.Join(testkit.Root(t), filepath.FromSlash(link[1])))
		require.NoError(t, err)
	}
}

// Every decision has a line in the index, and what each page has to say.
func TestDecisions(t *testing.T) {
	dir := filepath.Join(testkit.Root(t), "docs", "dev", "decisions")
	index, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	pages, err := filepath.Glob(filepath.Join(dir, "*.md"))
	require.NoError(t, err)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, link := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(string(text), -1) {
			require.FileExists(t, filepath.Join(dir, link[1]))
		}
		if filepath.Base(page) == "README.md" {
			continue
		}
		title, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
		require.Contains(t, string(index), "- ["+title+"]("+filepath.Base(page)+"): ")
		for _, part := range []string{"\n**Context.** ", "\n**Decision.** ", "\n**What it costs.** ", "\n**What else there was.** "} {
			require.Contains(t, string(text), part, page)
		}
	}
}
