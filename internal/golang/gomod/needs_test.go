package gomod

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func setOf(t *testing.T, lines ...string) Set {
	set, err := ParseSums(File{Name: "go.sum", Data: []byte(strings.Join(lines, "\n"))})
	require.NoError(t, err)
	return set
}

func sumLine(path string, of byte) string {
	return path + " v1.0.0 h1:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{of}, 32))
}

func TestNeeds(t *testing.T) {
	n := Needs{GoMod: []byte("module x.example/app\n\nrequire a.example/a v1.0.0\n"), Set: setOf(t, sumLine("a.example/a", 1)), Imports: []string{"a.example/a/sub", "fmt"}}
	text := n.Text()
	require.NotEmpty(t, text)
	got, err := ParseNeeds([]byte(text))
	require.NoError(t, err)
	require.Equal(t, n, got)
	require.Equal(t, text, got.Text())

	var many []string
	for i := range 5000 {
		hash := sha256.Sum256(fmt.Append(nil, i))
		many = append(many, fmt.Sprintf("m%d.example/lib v1.0.0 h1:%s", i, base64.StdEncoding.EncodeToString(hash[:])))
	}
	n.Set = setOf(t, many...)
	require.True(t, n.Text() == "", "more than a variable of the environment can hold")
}

// A list comes from a cache, and so from anybody who may write there.
func TestParseNeedsRefuses(t *testing.T) {
	pack := func(data []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write(data)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return []byte(base64.StdEncoding.EncodeToString(b.Bytes()))
	}
	of := func(in needsText) []byte {
		data, err := json.Marshal(in)
		require.NoError(t, err)
		return pack(data)
	}
	const mod = "module x.example/app\n"
	for want, text := range map[string][]byte{
		"expected at most":             bytes.Repeat([]byte("A"), MaxNeeds+1),
		"EOF":                          nil,
		"illegal base64":               []byte("<html>"),
		"gzip: invalid":                []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 64))),
		"when unpacked":                pack(bytes.Repeat([]byte(" "), 64<<20)),
		"unexpected end of JSON input": pack([]byte(`{"GoMod":`)),
		"go.sum:1":                     of(needsText{GoMod: mod, GoSum: "../../etc v1.0.0 h1:x"}),
		"go.sum:2":                     of(needsText{GoMod: mod, GoSum: sumLine("a.example/a", 1) + "\n" + sumLine("a.example/a", 2)}),
		"no module line":               of(needsText{GoMod: "go 1.26\n"}),
		"unknown directive":            of(needsText{GoMod: mod + "run evil\n"}),
		"by a folder":                  of(needsText{GoMod: mod + "replace a.example/a => ../../etc\n"}),
		"leading dash":                 of(needsText{GoMod: mod, Imports: []string{"-toolexec=/evil"}}),
		"malformed import path":        of(needsText{GoMod: mod, Imports: []string{"a.example/..."}}),
		"invalid char":                 of(needsText{GoMod: mod, Imports: []string{"a\nb"}}),
		"aren't sorted":                of(needsText{GoMod: mod, Imports: []string{"b", "a"}}),
	} {
		_, err := ParseNeeds(text)
		require.ErrorContains(t, err, want)
	}
}

func TestLike(t *testing.T) {
	a, b, c, d := sumLine("a.example/a", 1), sumLine("b.example/b", 1), sumLine("c.example/c", 1), sumLine("d.example/d", 1)
	needs := func(imports string, lines ...string) Needs {
		return Needs{Set: setOf(t, lines...), Imports: strings.Fields(imports)}
	}
	own := needs("a b", a, b)
	for _, tt := range []struct {
		why   string
		other Needs
		want  bool
	}{
		{"equal", needs("a b", a, b), true},
		{"one more", needs("a b c", a, b, c), true},
		{"one less", needs("a", a), true},
		{"another one", needs("a c", a, c), true},
		{"too many more modules", needs("a b", a, c, d), false},
		{"too many more imports", needs("a b c d e", a, b), false},
		{"other imports", needs("c", a, b), false},
		{"other modules", needs("a b", c, d), false},
		{"nothing", Needs{}, false},
		{"another hash", needs("a b", a, sumLine("b.example/b", 2)), false},
		{"go.mod files alone", needs("a b", strings.Replace(a, "v1.0.0", "v1.0.0/go.mod", 1)), false},
	} {
		require.Equal(t, tt.want, own.Like(tt.other), tt.why)
		require.Equal(t, tt.want, tt.other.Like(own), tt.why)
	}
	require.False(t, Needs{}.Like(Needs{}))
}

// Of a hundred modules or imports that are added to a hundred, each by itself, few change the sample; and go.mod files alone,
// none.
func TestSample(t *testing.T) {
	var lines, imports []string
	for i := range 100 {
		path := fmt.Sprintf("m%d.example/lib", i)
		lines, imports = append(lines, sumLine(path, 1)), append(imports, path)
	}
	needs := func(imports, lines []string) Needs { return Needs{Set: setOf(t, lines...), Imports: imports} }
	own, byModule, byImport := needs(imports, lines).Sample(), 0, 0
	for i := range 100 {
		path := fmt.Sprintf("new%d.example/lib", i)
		if needs(imports, append(lines, sumLine(path, 1))).Sample() != own {
			byModule++
		}
		if needs(append(imports, path), lines).Sample() != own {
			byImport++
		}
	}
	require.Less(t, byModule, 5)
	require.Less(t, byImport, 5)
	require.Equal(t, own, needs(imports, append(lines, "n.example/x v1.0.0/go.mod h1:"+strings.Repeat("A", 43)+"=")).Sample())
	require.NotEqual(t, own, Needs{}.Sample())
}
