// Package packaging holds what a release is made by, beside action.yml, templates and .github at the root of the tree, and
// tests of all these files.
package packaging

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// read decodes the documents of a YAML file of the tree.
func read(t *testing.T, name string, documents ...any) {
	f, err := os.Open(filepath.Join(testkit.Root(t), name))
	require.NoError(t, err)
	defer f.Close()
	d := yaml.NewDecoder(f)
	for _, into := range documents {
		require.NoError(t, d.Decode(into), name)
	}
	require.ErrorIs(t, d.Decode(new(any)), io.EOF, name)
}

// A workflow is what the tests read of a file of GitHub Actions.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Timeout int `yaml:"timeout-minutes"`
		Steps   []step
	}
}

type step struct {
	Uses, Run string
	With      map[string]string
}

// ran are the commands of this tree that a workflow runs: make targets and scripts.
var ran = regexp.MustCompile(`make ([a-z-]+)|(\.ci/run|scripts/[a-z-]+\.sh)`)

// TestWorkflows wants the workflows to run what is there, with actions that nobody can change afterwards.
func TestWorkflows(t *testing.T) {
	root := testkit.Root(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yml"))
	require.NoError(t, err)
	var all []string
	for _, file := range files {
		name, err := filepath.Rel(root, file)
		require.NoError(t, err)
		var w workflow
		read(t, name, &w)
		require.NotNil(t, w.Permissions, "%s: a token without permissions that are named has all", name)
		for id, job := range w.Jobs {
			require.Positive(t, job.Timeout, "%s: %s", name, id)
			for _, s := range job.Steps {
				if s.Uses != "" {
					require.Regexp(t, `^actions/[a-z-]+@[0-9a-f]{40}$`, s.Uses, name)
				}
				if strings.HasPrefix(s.Uses, "actions/checkout@") {
					require.Equal(t, "false", s.With["persist-credentials"], "%s: what is built could read the token", name)
				}
				for _, m := range ran.FindAllStringSubmatch(s.Run, -1) {
					all = append(all, m[0])
					if m[1] != "" {
						require.Contains(t, string(makefile), "\n"+m[1]+":", name)
						continue
					}
					info, err := os.Stat(filepath.Join(root, m[2]))
					require.NoError(t, err, name)
					require.NotZero(t, info.Mode()&0o111, "%s isn't executable", m[2])
				}
			}
		}
	}
	require.Contains(t, all, ".ci/run")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "dev", "releasing.md"))
	require.NoError(t, err)
	commands := testkit.Blocks(string(doc), "sh")
	require.NotEmpty(t, commands)
	for _, command := range commands {
		require.Contains(t, all, ran.FindString(command), "releasing.md has a command that CI doesn't run")
	}
}

// TestDependabot wants each Go module of the tree to be kept up to date.
func TestDependabot(t *testing.T) {
	var config struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directories []string
		}
	}
	read(t, ".github/dependabot.yml", &config)
	var modules []string
	root := testkit.Root(t)
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name != root && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.Name() == "go.mod" {
			dir, err := filepath.Rel(root, filepath.Dir(name))
			modules = append(modules, filepath.ToSlash(filepath.Join("/", dir)))
			return err
		}
		return nil
	}))
	for _, u := range config.Updates {
		if u.Ecosystem == "gomod" {
			require.ElementsMatch(t, modules, u.Directories)
			return
		}
	}
	require.Fail(t, "no update of Go modules")
}

// TestIssueForms wants the forms to ask for what an answer needs.
func TestIssueForms(t *testing.T) {
	for file, fields := range map[string][]string{
		"bug.yml":     {"version", "dockerfile", "command", "output", "expected"},
		"feature.yml": {"problem", "today", "proposal"},
	} {
		var form struct {
			Name, Description string
			Body              []struct {
				Type, ID   string
				Attributes struct{ Label string }
			}
		}
		read(t, ".github/ISSUE_TEMPLATE/"+file, &form)
		require.NotEmpty(t, form.Name)
		require.NotEmpty(t, form.Description)
		var ids []string
		for _, field := range form.Body {
			require.NotEmpty(t, field.Attributes.Label, file)
			ids = append(ids, field.ID)
		}
		require.Equal(t, fields, ids, file)
	}
}

// TestFrontendImage wants the released image of the frontend to say of itself what that of the Dockerfile at the root does.
func TestFrontendImage(t *testing.T) {
	label := regexp.MustCompile(`(?m)^(?:LABEL)? +([a-z.]+="[^"]+")`)
	labels := func(name, from string) []string {
		text, err := os.ReadFile(filepath.Join(testkit.Root(t), name))
		require.NoError(t, err)
		_, stage, there := strings.Cut(string(text), from)
		require.True(t, there)
		stage, _, _ = strings.Cut(stage, "\nFROM ")
		var list []string
		for _, m := range label.FindAllStringSubmatch(stage, -1) {
			list = append(list, m[1])
		}
		return slices.Sorted(slices.Values(list))
	}
	want := labels("Dockerfile", "FROM scratch\n")
	require.Contains(t, want, `moby.buildkit.frontend.caps="`+testkit.FrontendCaps+`"`)
	require.Equal(t, want, labels("packaging/Dockerfile", "FROM scratch AS frontend\n"))
}
