package gitfetch

import (
	"archive/zip"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"

	"github.com/larder-build/larder/internal/testkit"
)

// strangeLines are lines of .gitattributes that are odd: go-git's matcher fails badly at some, and git at none.
var strangeLines = []string{
	"*/ text", "a/ text", "*/b/ text", "/ text", "// text", "**/ text", "a//b text", "\"a/\" text", "*/* text",
	"!b text", "\"\" text", "\"", "\\ text", "[ text", "[!a text", "[attr] x", "[attr]m text", "** text",
	"b " + strings.Repeat("x", 3000) + " text", "b - text", "b =x text",
}

// Of odd lines those count that count for git, and none is the end of the step.
func TestStrangeAttributes(t *testing.T) {
	repo := testkit.NewRepo(t, t.TempDir())
	names := []string{"a", "b", "a/b", "a/b/c"}
	for _, line := range strangeLines {
		repo.Write(map[string]string{".gitattributes": line + "\n"})
		cmd := exec.Command("git", append([]string{"check-attr", "text", "--"}, names...)...)
		cmd.Dir = repo.Dir
		out, err := cmd.Output()
		require.NoError(t, err)
		var a attributes
		a.addLine(line, nil)
		for i, said := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			value := a.of(names[i])["text"]
			if value == "" {
				value = "unspecified"
			}
			require.Equal(t, names[i]+": text: "+value, said, "%.40q", line)
		}
	}
}

// A repository whose .gitattributes has them is fetched, to the hash that it has without.
func TestStrangeAttributesOfRepository(t *testing.T) {
	c := newCorp(t)
	r := c.newLib()
	r.Commit(map[string]string{".gitattributes": strings.Join([]string{"*/ text eol=crlf", "sub/ text eol=crlf", "!a.go text eol=crlf"}, "\n") + "\n", "sub/a.go": "package a\n"}, "v1.1.0")
	r.Commit(map[string]string{".gitattributes": "# nothing\n"}, "v1.2.0")
	f := c.fetcher(netrc, Options{})
	for _, version := range []string{"v1.1.0", "v1.2.0"} {
		m := module.Version{Path: lib.Path, Version: version}
		files, err := f.Fetch(t.Context(), m)
		require.NoError(t, err)
		require.Equal(t, []byte("package a\n"), unzipped(t, files.Zip, m.String()+"/sub/a.go"))
		require.Equal(t, []byte("package a\n"), unzipped(t, files.Zip, m.String()+"/a.go"))
	}
}

func unzipped(t *testing.T, file, name string) []byte {
	z, err := zip.OpenReader(file)
	require.NoError(t, err)
	defer z.Close()
	f, err := z.Open(name)
	require.NoError(t, err)
	defer f.Close()
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	return data
}
