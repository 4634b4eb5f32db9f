package gitfetch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a page has, each of its tags is in it as it is, and the one that is chosen fits the path.
func FuzzParseMeta(f *testing.F) {
	f.Add("<html><head><meta name=\"go-import\" content=\"a.example/x git https://a.example/x\"></head>", "a.example/x/y")
	f.Add("<meta name=go-import content='a.example mod https://p.example'><META NAME='go-import' CONTENT='a.example git https://g.example sub'>", "a.example")
	f.Add("<?xml encoding=\"latin1\"?><meta name=\"go-import\" content=\"a b c d e\"/>", "a")
	f.Fuzz(func(t *testing.T, page, path string) {
		tags := parseMeta([]byte(page))
		if tag, err := match(tags, path); err == nil {
			require.Contains(t, tags, tag)
			require.True(t, path == tag.prefix || strings.HasPrefix(path, tag.prefix+"/"))
		}
	})
}

// Whatever a server offers is read or refused, in one line.
func FuzzReadRefs(f *testing.F) {
	f.Add([]byte("001e# service=git-upload-pack\n0000004895dcfa3633004da0049d3d0fa03f80589cbcaf31 refs/heads/main\x00shallow\n003f2cb58b79488a98d2721cea644875a8dd0026b115 refs/tags/v1.0.0\n0000"))
	f.Add([]byte("0011ERR not here\n"))
	f.Add([]byte("00000000"))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		adv, err := readRefs(strings.NewReader(string(data)))
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.False(t, adv.IsEmpty())
	})
}

// Whatever attributes say, a file that was converted stays as it is when it is converted again.
func FuzzConvert(f *testing.F) {
	f.Add("*.txt text eol=crlf ident\n[attr]m text=auto eol=crlf m\n*.x m\n", "a/b.txt", []byte("x\n$Id$\n$Id: a $\r\n"))
	f.Add("\"\"\n\"\" text\n[attr]a a b a\n[attr]b a b\n* a b\n", "x", []byte("x"))
	f.Add("\"a b\" crlf\n*.x -text\n*.x binary\n", "a b", []byte("\x00\r"))
	f.Fuzz(func(t *testing.T, text, name string, data []byte) {
		var a attributes
		for _, line := range strings.Split(text, "\n") {
			a.addLine(line, nil)
		}
		values := a.of(name)
		out := expandID(data, [20]byte{1})
		require.Equal(t, string(out), string(expandID(out, [20]byte{1})), "once is enough")
		if mode := toCRLF(values); mode != never && needsCRLF(out, mode) {
			out = toLines(out)
			require.Equal(t, strings.Count(string(out), "\n"), strings.Count(string(out), "\r\n"))
			require.False(t, needsCRLF(out, mode))
		}
	})
}
