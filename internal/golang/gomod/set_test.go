package gomod

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	hashA = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	hashB = "h1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="
)

func sum(text string) File { return File{Name: "go.sum", Data: []byte(text)} }

func TestParseSums(t *testing.T) {
	set, err := ParseSums(sum("b.example/y v1.0.0 " + hashB + "\r\n\n" +
		"a.example/x v0.0.0-20200101000000-0123456789ab/go.mod " + hashA + "\n" +
		"golang.org/toolchain v0.0.1-go1.26.8.linux-amd64 " + hashA + "\n" +
		"a.example/x v0.0.0-20200101000000-0123456789ab " + hashA))
	require.NoError(t, err)
	require.Equal(t, []Sum{
		{Path: "a.example/x", Version: "v0.0.0-20200101000000-0123456789ab", Hash: hashA},
		{Path: "b.example/y", Version: "v1.0.0", Hash: hashB},
	}, set.Zips())
	require.Equal(t, []Sum{
		{Path: "a.example/x", Version: "v0.0.0-20200101000000-0123456789ab", GoMod: true, Hash: hashA},
	}, set.GoMods())
	require.Equal(t, []Sum{{Path: ToolchainPath, Version: "v0.0.1-go1.26.8.linux-amd64", Hash: hashA}}, set.Toolchains())
	require.False(t, set.Empty())

	again, err := ParseSums(sum(string(set.Text())))
	require.NoError(t, err)
	require.Equal(t, set.sums, again.sums)
	require.Empty(t, again.Toolchains())
}

func TestParseSumsErrors(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"fields":        {"a.example/x v1.0.0\n", "go.sum:1: malformed go.sum line: it has 2 fields"},
		"conflict mark": {"\n<<<<<<< HEAD\n", "go.sum:2: malformed go.sum line: it has 2 fields"},
		"path":          {"../x v1.0.0 " + hashA, "go.sum:1: malformed go.sum line: malformed module path \"../x\""},
		"version":       {"a.example/x latest " + hashA, "not a semantic version"},
		"major":         {"a.example/x v2.0.0 " + hashA, "should be v0 or v1, not v2"},
		"hash":          {"a.example/x v1.0.0 sha256:abc", "expected h1: and 32 bytes in base64"},
		"short hash":    {"a.example/x v1.0.0 h1:AAAA", "expected h1: and 32 bytes in base64"},
		"two hashes":    {"a.example/x v1.0.0 " + hashA + "\na.example/x v1.0.0 " + hashB, "go.sum:2: a.example/x@v1.0.0 is listed as " + hashB + " here and as " + hashA + " at go.sum:1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSums(sum(tt.text))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestKeyIgnoresOrderAndPlace(t *testing.T) {
	lines := []string{
		"a.example/x v1.0.0 " + hashA, "a.example/x v1.0.0/go.mod " + hashB,
		"b.example/y v1.2.3 " + hashB, "b.example/y v1.2.3/go.mod " + hashA, "c.example/z v0.1.0/go.mod " + hashA,
	}
	want, err := ParseSums(sum(strings.Join(lines, "\n")))
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		got, err := ParseSums(sum(strings.Join(lines[:3], "\n")), File{Name: "go.work.sum", Data: []byte(strings.Join(lines[2:], "\n\n"))})
		require.NoError(t, err)
		require.Equal(t, want.Key(), got.Key())
	}
	less, err := ParseSums(sum(strings.Join(lines[1:], "\n")))
	require.NoError(t, err)
	require.NotEqual(t, want.Key(), less.Key())
}

func FuzzParseSums(f *testing.F) {
	f.Add("a.example/x v1.0.0 " + hashA + "\n")
	f.Add("a.example/x v1.0.0/go.mod " + hashA + "\r\n\x00")
	f.Add("gopkg.in/yaml.v3 v3.0.1 " + hashB)
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParseSums(sum(text))
		if err != nil {
			return
		}
		again, err := ParseSums(sum(string(set.Text())))
		require.NoError(t, err)
		require.Equal(t, set.Key(), again.Key())
	})
}
