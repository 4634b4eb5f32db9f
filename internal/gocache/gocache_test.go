package gocache

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func id(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// store puts text as the output of an action.
func store(t *testing.T, d Dir, action, text string) {
	t.Helper()
	e := entry{id(action), id(text), int64(len(text))}
	for name, data := range map[string]string{d.file(e.output, "d"): text, d.file(e.action, "a"): e.line(time.Now())} {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(data), 0o644))
	}
}

// has reports whether a folder has a text as the output of an action.
func has(d Dir, action, text string) bool {
	e, ok := d.read(id(action))
	if !ok || e.output != id(text) {
		return false
	}
	data, err := os.ReadFile(d.file(e.output, "d"))
	return err == nil && string(data) == text
}

func files(t *testing.T, d Dir) (names []string) {
	require.NoError(t, filepath.WalkDir(string(d), func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, filepath.Base(name))
		}
		return err
	}))
	return names
}

func TestCopy(t *testing.T) {
	from, to, without := Dir(t.TempDir()), Dir(t.TempDir()), Dir(t.TempDir())
	stamp := time.Unix(0, 0)
	for _, text := range []string{"one", "two", "shorter", "elsewhere", "gone"} {
		store(t, from, "make "+text, text)
	}
	store(t, from, "make two again", "two")
	store(t, without, "make elsewhere", "elsewhere")
	store(t, to, "make one", "another one")
	require.NoError(t, os.WriteFile(from.file(id("shorter"), "d"), []byte("short"), 0o644))
	require.NoError(t, os.Remove(from.file(id("gone"), "d")))
	require.NoError(t, os.WriteFile(filepath.Join(string(from), "README"), []byte("as the go command writes one"), 0o644))

	n, err := to.Copy(t.Context(), from, Choice{Without: []Dir{without}, Stamp: stamp})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.True(t, has(to, "make two", "two"))
	require.True(t, has(to, "make two again", "two"))
	require.True(t, has(to, "make one", "another one"), "what is there stays")
	require.False(t, has(to, "make elsewhere", "elsewhere"))
	require.Len(t, files(t, to), 5, "only what is right is copied, and nothing is left of the rest")
	info, err := os.Stat(to.file(id("two"), "d"))
	require.NoError(t, err)
	require.True(t, info.ModTime().Equal(stamp))

	n, err = to.Copy(t.Context(), from, Choice{Without: []Dir{without}})
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = to.Copy(t.Context(), Dir(filepath.Join(t.TempDir(), "nowhere")), Choice{})
	require.NoError(t, err)
	require.Zero(t, n)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Dir(t.TempDir()).Copy(ended, from, Choice{})
	require.ErrorIs(t, err, context.Canceled)
}

// An entry of a folder that somebody else wrote leads nowhere.
func TestHostile(t *testing.T) {
	from, to := Dir(t.TempDir()), Dir(t.TempDir())
	store(t, from, "good", "good")
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o644))

	link := entry{id("link"), id("secret"), 6}
	require.NoError(t, os.MkdirAll(filepath.Dir(from.file(link.output, "d")), 0o755))
	require.NoError(t, os.Symlink(secret, from.file(link.output, "d")))
	lines := map[string]string{
		id("link"):    link.line(time.Now()),
		id("up"):      entry{id("up"), "../../../../" + id("x")[12:], 6}.line(time.Now()),
		id("capital"): entry{id("capital"), strings.ToUpper(id("good")), 4}.line(time.Now()),
		id("minus"):   strings.Replace(entry{id("minus"), id("good"), 4}.line(time.Now()), "   4 ", "  -4 ", 1),
		id("long"):    entry{id("long"), id("good"), 4}.line(time.Now()) + "x",
		id("other"):   entry{id("another"), id("good"), 4}.line(time.Now()),
		id("empty"):   "",
	}
	for action, line := range lines {
		require.NoError(t, os.MkdirAll(filepath.Dir(from.file(action, "a")), 0o755))
		require.NoError(t, os.WriteFile(from.file(action, "a"), []byte(line), 0o644))
	}
	require.NoError(t, os.MkdirAll(from.file(id("folder"), "a"), 0o755))
	n, err := to.Copy(t.Context(), from, Choice{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.ElementsMatch(t, []string{id("good") + "-a", id("good") + "-d"}, files(t, to))
}

// What a go command uses after Age is told from what was there.
func TestUsed(t *testing.T) {
	d, layer := Dir(t.TempDir()), Dir(t.TempDir())
	for _, text := range []string{"used", "unused", "old", "future"} {
		store(t, d, text, text)
	}
	now := time.Now()
	old := now.Add(-100 * time.Hour)
	require.NoError(t, os.Chtimes(d.file(id("old"), "a"), old, old))
	require.NoError(t, os.Chtimes(d.file(id("future"), "a"), now.AddDate(1, 0, 0), now.AddDate(1, 0, 0))) // a clock that was set back
	require.NoError(t, d.Age(t.Context(), now))
	info, err := os.Stat(d.file(id("old"), "a"))
	require.NoError(t, err)
	require.WithinDuration(t, old, info.ModTime(), time.Second, "what is to be removed soon is no newer")
	require.NoError(t, os.Chtimes(d.file(id("used"), "a"), now, now)) // as the go command does
	store(t, d, "new", "new")
	n, err := layer.Copy(t.Context(), d, Choice{Used: now})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.True(t, has(layer, "used", "used"))
	require.True(t, has(layer, "new", "new"))
}

func TestTurn(t *testing.T) {
	d := Dir(t.TempDir())
	var group sync.WaitGroup
	var inside, most, turns atomic.Int32
	for range 8 {
		group.Go(func() {
			done, err := d.Turn(t.Context(), "")
			if err != nil {
				t.Error(err)
				return
			}
			most.Store(max(most.Load(), inside.Add(1)))
			turns.Add(1)
			time.Sleep(5 * time.Millisecond)
			inside.Add(-1)
			done(true)
		})
	}
	group.Wait()
	require.EqualValues(t, 8, turns.Load())
	require.EqualValues(t, 1, most.Load(), "turns at one time")

	failed, err := d.Turn(t.Context(), "key")
	require.NoError(t, err)
	ended, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = d.Turn(ended, "key")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "waiting for another build")
	failed(false)
	good, err := d.Turn(t.Context(), "key")
	require.NoError(t, err, "a turn that failed leaves it to the next")
	good(true)
	held, err := d.Turn(t.Context(), "")
	require.NoError(t, err)
	again, err := d.Turn(t.Context(), "key")
	require.NoError(t, err, "a key that had its turn doesn't wait")
	again(true)
	held(true)

	for i := range 3 * maxTurns {
		d.remember(fmt.Sprint(i))
	}
	require.Len(t, d.turns(), maxTurns)
	require.NoError(t, os.WriteFile(filepath.Join(string(d), turnsFile), make([]byte, 1<<20), 0o644))
	require.Empty(t, d.turns(), "what nobody here wrote is not read")

	done, err := Dir(filepath.Join(t.TempDir(), "nowhere")).Turn(t.Context(), "key")
	require.NoError(t, err, "there can be no lock")
	done(true)
}
