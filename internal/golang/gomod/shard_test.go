package gomod

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func manyModules(t *testing.T, n int, more ...string) Set {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "m%d.example/x v1.0.0 %s\nm%d.example/x v1.0.0/go.mod %s\n", i, testHash, i, testHash)
	}
	set, err := ParseSums(File{Name: "go.sum", Data: []byte(b.String() + strings.Join(more, "\n"))})
	require.NoError(t, err)
	return set
}

const testHash = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// The shards of a set are the set, whatever its size, and there are never many.
func TestShards(t *testing.T) {
	for n, most := range map[int]int{0: 1, 1: 1, 15: 1, 16: 4, 50: 4, 127: 4, 128: 8, 2000: 8} {
		set := manyModules(t, n)
		shards := set.Shards()
		require.NotEmpty(t, shards)
		require.LessOrEqual(t, len(shards), most)
		var lines []File
		total := 0
		for _, s := range shards {
			lines = append(lines, File{Data: s.Text()})
			total += len(s.sums)
		}
		whole, err := ParseSums(lines...)
		require.NoError(t, err)
		require.Equal(t, set.Key(), whole.Key())
		require.Equal(t, len(set.sums), total, "a line is in two shards")
	}
}

// A module that is new, or has another version, changes its own shard alone.
func TestShardsChangeLittle(t *testing.T) {
	keys := func(s Set) map[string]bool {
		out := map[string]bool{}
		for _, shard := range s.Shards() {
			out[shard.Key()] = true
		}
		return out
	}
	before := keys(manyModules(t, 100))
	for _, line := range []string{"new.example/y v1.0.0 " + testHash + "\nnew.example/y v1.0.0/go.mod " + testHash, "m7.example/x v1.2.0 " + testHash} {
		changed := 0
		for key := range keys(manyModules(t, 100, line)) {
			if !before[key] {
				changed++
			}
		}
		require.Equal(t, 1, changed)
	}
}
