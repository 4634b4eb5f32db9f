package harm

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// A testCase is an archive of the corpus: a build context, and how it is built.
type testCase struct {
	name    string
	context string // the folder of the build context
	file    string // the Dockerfile's path in it
	target  string
	args    map[string]string
	secrets map[string][]byte
	doors   []string
	fails   bool
	crlf    bool

	runs []wantedRun
}

// A wantedRun says what is to become of a RUN line.
type wantedRun struct{ fate, text string }

func loadCase(t *testing.T, name string) *testCase {
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	c := &testCase{
		name: strings.TrimSuffix(path.Base(name), ".txtar"), file: "Dockerfile", context: testkit.Tree(t, string(data)),
		// Larder's own steps don't have the settings of the toolchain in the base image.
		args: map[string]string{"GOPROXY": proxy}, secrets: map[string][]byte{},
	}
	for line := range strings.Lines(string(txtar.Parse(data).Comment)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		require.True(t, ok, "%s: %s", name, line)
		require.NoError(t, c.set(key, value), "%s: %s", name, line)
	}
	if c.crlf {
		require.NoError(t, os.WriteFile(c.path(), bytes.ReplaceAll(c.text(t), []byte("\n"), []byte("\r\n")), 0o644))
	}
	return c
}

func (c *testCase) set(key, value string) error {
	name, rest, _ := strings.Cut(value, "=")
	switch key {
	case "file":
		c.file = value
	case "target":
		c.target = value
	case "arg":
		c.args[name] = rest
	case "secret":
		c.secrets[name] = []byte(rest)
	case "also":
		c.doors = append(c.doors, value)
	case "outcome":
		c.fails = value == "fails"
	case "dockerfile":
		c.crlf = value == "crlf"
	case injected, left, dropped:
		c.runs = append(c.runs, wantedRun{key, value})
	case "executable":
		return os.Chmod(filepath.Join(c.context, value), 0o755)
	case "link":
		return os.Symlink(rest, filepath.Join(c.context, name))
	default:
		return fmt.Errorf("unknown setting %s", key)
	}
	return nil
}

func (c *testCase) path() string { return filepath.Join(c.context, c.file) }

func (c *testCase) text(t *testing.T) []byte {
	data, err := os.ReadFile(c.path())
	require.NoError(t, err)
	return data
}

// dockerfileFolder returns a folder with the Dockerfile, whose syntax line is another one, and its ignore file. It isn't
// in the build context: COPY . . would see the change.
func (c *testCase) dockerfileFolder(t *testing.T, syntax string) string {
	dir, text := t.TempDir(), c.text(t)
	line := []byte("# syntax=" + syntax)
	if _, _, at, ok := parser.DetectSyntax(text); ok {
		lines := bytes.SplitAfter(text, []byte("\n"))
		end := []byte("\n")
		if c.crlf {
			end = []byte("\r\n")
		}
		lines[at[0].Start.Line-1] = slices.Concat(line, end)
		text = bytes.Join(lines, nil)
	} else {
		text = slices.Concat(line, []byte("\n"), text)
	}
	name := filepath.Join(dir, c.file)
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, text, 0o644))
	for _, ignore := range []string{c.file + ".dockerignore", ".dockerignore"} {
		if data, err := os.ReadFile(filepath.Join(c.context, ignore)); err == nil {
			require.NoError(t, os.WriteFile(filepath.Join(dir, ignore), data, 0o644))
		}
	}
	return dir
}
