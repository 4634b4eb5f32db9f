package lastbuild

import (
	"fmt"
	"testing"
	"time"

	"github.com/larder-build/larder/frontend/changes"
	"github.com/stretchr/testify/require"
)

// A tree of 1,000 packages, each of five files of 4 KB: what the last build costs the next one, and what it takes to remember
// that again.
func BenchmarkUnchanged(b *testing.B) {
	dir, s := b.TempDir(), Store{b.TempDir()}
	text := make([]byte, 4<<10)
	files := map[string]string{}
	var names []string
	for i := range 5000 {
		name := fmt.Sprintf("internal/some/deep/package%04d/file%d.go", i/5, i%5)
		files[name] = string(text)
		names = append(names, name)
	}
	tree(b, dir, files)
	time.Sleep(settled + 100*time.Millisecond) // then what they are is known by their times
	r := &Record{}
	r.Build.Slices = []changes.Slice{{Name: "larder-source-3", Files: names}}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, r.Look(b.Context(), dir, nil, nil))
		}
	})
	require.NoError(b, s.Save("k", r))
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Load("k")
			require.NoError(b, err)
		}
	})
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			now := &Record{}
			now.Build = r.Build
			require.NoError(b, now.Look(b.Context(), dir, nil, r))
		}
	})
	b.Run("save", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, s.Save("k", r))
		}
	})
}
