package gorecipe_test

import (
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/golang/gorecipe"
	"github.com/stretchr/testify/require"
)

func TestSources(t *testing.T) {
	var s gorecipe.Sources
	require.Empty(t, s.Text())
	require.False(t, s.Has("a.example/m@v1.0.0/m.go"))
	require.NoError(t, s.AddPackage("a.example/m@v1.0.0/p", []string{"web/index.html", "x_test.go"}))
	require.NoError(t, s.AddPackage("a.example/m@v1.0.0", nil))
	const text = "a.example/m@v1.0.0/\na.example/m@v1.0.0/p/\na.example/m@v1.0.0/p/web/index.html\na.example/m@v1.0.0/p/x_test.go\n"
	require.Equal(t, text, string(s.Text()))
	read, err := gorecipe.ParseSources(s.Text())
	require.NoError(t, err)
	require.Equal(t, s, *read)
	for name, has := range map[string]bool{
		"a.example/m@v1.0.0/m.go": true, "a.example/m@v1.0.0/p/p.go": true, "a.example/m@v1.0.0/p/asm.s": true, "a.example/m@v1.0.0/p/web/index.html": true,
		"a.example/m@v1.0.0/p/x_test.go": true, "a.example/m@v1.0.0/p/p_test.go": false, "a.example/m@v1.0.0/p/web/other.html": false,
		"a.example/m@v1.0.0/q/q.go": false, "a.example/m@v1.0.1/m.go": false,
	} {
		require.Equal(t, has, read.Has(name), name)
	}
	for _, name := range []string{"", ".", "/etc", "../x", "a//b", "a\nb", "a\x00"} {
		require.ErrorContains(t, s.AddPackage(name, nil), "can't be the name of a file", "%q", name)
		require.ErrorContains(t, s.AddPackage("a", []string{name}), "can't be the name of a file", "%q", name)
	}
	for text, want := range map[string]string{
		"a/":        `has the line "a/"`,
		"../a\n":    `has the line "../a\n"`,
		"/\n":       `has the line "/\n"`,
		"\n":        `has the line "\n"`,
		"b/\na/\n":  "isn't written as Larder writes it",
		"a/\na/\n":  "isn't written as Larder writes it",
		"a/\r\nb\n": `has the line "a/\r\n"`,
		strings.Repeat("a", gorecipe.MaxSources+1): "at most 16777216 are read",
	} {
		_, err := gorecipe.ParseSources([]byte(text))
		require.ErrorContains(t, err, want)
	}
}
