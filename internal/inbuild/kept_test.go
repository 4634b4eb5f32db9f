package inbuild

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// What is kept is not fetched again, a new module is all that is, and the tree is the same.
func TestKept(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	proxy, kept := testkit.ServeProxy(t, dir), t.TempDir()
	first, second := t.TempDir(), t.TempDir()
	all := strings.SplitAfter(sums, "\n")
	mustStep(t, "modules", "--sums", writeSums(t, strings.Join(all[:4], "")), "--goproxy", proxy.URL, "--kept", kept, "--out", t.TempDir())
	require.Len(t, proxy.Take(), 4)
	require.Contains(t, mustStep(t, "modules", "--sums", writeSums(t, sums), "--goproxy", proxy.URL, "--kept", kept, "--out", first), "took 4 files that were kept")
	require.ElementsMatch(t, []string{"/example.com/old/@v/v2.0.0+incompatible.zip", "/example.com/old/@v/v2.0.0+incompatible.mod"}, proxy.Take())
	mustStep(t, "modules", "--sums", writeSums(t, sums), "--from", dir, "--out", second)
	require.Equal(t, snapshot(t, second), snapshot(t, first))
	require.Len(t, names(t, kept), 6)
}

// Whatever is in the folder of kept files, nothing comes of it but what go.sum lists: it is fetched anew.
func TestKeptIsHostile(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	clean := t.TempDir()
	file := writeSums(t, sums)
	mustStep(t, "modules", "--sums", file, "--from", dir, "--out", clean)
	evilDir, _ := makeProxy(t, testModule{"example.com/hello", "v1.2.3", map[string]string{"hello.go": "package evil\n"}})
	evil, err := os.ReadFile(proxyFile(t, evilDir, threeModules[0], ".zip"))
	require.NoError(t, err)
	for name, plant := range map[string]func(t *testing.T, file string){
		"other bytes":   func(t *testing.T, file string) { tamper(t, file, "evil") },
		"another's zip": func(t *testing.T, file string) { tamper(t, file, string(evil)) },
		"empty":         func(t *testing.T, file string) { require.NoError(t, os.Truncate(file, 0)) },
		"large":         func(t *testing.T, file string) { require.NoError(t, os.Truncate(file, 1<<40)) },
		"a folder": func(t *testing.T, file string) {
			require.NoError(t, os.Remove(file))
			tamper(t, filepath.Join(file, "x"), "x")
		},
		"a link": func(t *testing.T, file string) {
			require.NoError(t, os.Remove(file))
			require.NoError(t, os.Symlink("/etc/passwd", file))
		},
		"a link to itself": func(t *testing.T, file string) {
			require.NoError(t, os.Remove(file))
			require.NoError(t, os.Symlink(filepath.Base(file), file))
		},
	} {
		t.Run(name, func(t *testing.T) {
			proxy, kept := testkit.ServeProxy(t, dir), t.TempDir()
			args := []string{"modules", "--sums", file, "--goproxy", proxy.URL, "--kept", kept, "--out"}
			mustStep(t, append(args, t.TempDir())...)
			good := snapshotFiles(t, kept)
			for name := range good {
				plant(t, filepath.Join(kept, name))
			}
			proxy.Take()
			out := t.TempDir()
			mustStep(t, append(args, out)...)
			require.Len(t, proxy.Take(), 6)
			require.Equal(t, snapshot(t, clean), snapshot(t, out))
			require.Equal(t, good, snapshotFiles(t, kept), "what is kept is mended")
		})
	}
}

// snapshotFiles returns the texts of a folder's files.
func snapshotFiles(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	for _, name := range names(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		files[name] = string(data)
	}
	return files
}

// What no proxy may be asked for is neither kept nor taken from there. What a proxy gave for credentials isn't kept, and neither
// is what isn't what go.sum lists.
func TestNotKept(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	kept := t.TempDir()
	args := []string{"modules", "--sums", writeSums(t, sums), "--kept", kept}
	mustStep(t, append(args, "--goproxy", "file://"+dir, "--out", t.TempDir())...)
	require.Len(t, names(t, kept), 6)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	failStep(t, t.TempDir(), append(args, "--goproxy", "file://"+dir, "--goprivate", "example.com"), "example.com/hello@v1.2.3: ", "example.com/Upper/Case@")

	kept = t.TempDir()
	proxy := testkit.ServeProxy(t, dir)
	for _, at := range []string{strings.Replace(proxy.URL, "//", "//user:word@", 1), proxy.URL + "?token=x"} {
		mustStep(t, "modules", "--sums", writeSums(t, sums), "--kept", kept, "--goproxy", at, "--out", t.TempDir())
		require.Empty(t, names(t, kept))
	}

	evil, _ := makeProxy(t, testModule{"example.com/hello", "v1.2.3", map[string]string{"hello.go": "package evil\n"}})
	failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--kept", kept, "--goproxy", "file://" + evil}, "go.sum says")
	require.Empty(t, names(t, kept))
}

// What was not used for a month goes, and so does the oldest of what is too much, and what a killed step left.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	add := func(name string, size int64, age time.Duration) {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, nil, 0o644))
		require.NoError(t, os.Truncate(file, size))
		require.NoError(t, os.Chtimes(file, now.Add(-age), now.Add(-age)))
	}
	add("new.zip", 3<<30, time.Hour)
	add("second.zip", 1<<30, 2*time.Hour)
	add("third.zip", 1, 3*time.Hour)
	add("future.mod", 0, -365*24*time.Hour) // a clock that was set back
	add("unused.mod", 1, 31*24*time.Hour)
	add(keptTemporary+"killed", 1, 25*time.Hour)
	add(keptTemporary+"running", 0, time.Minute)
	k, err := openKept(dir)
	require.NoError(t, err)
	defer k.close()
	k.trim(now)
	require.Equal(t, []string{keptTemporary + "running", "future.mod", "new.zip", "second.zip"}, names(t, dir))
}

// The time of a file that is used is written anew.
func TestKeptIsTouched(t *testing.T) {
	dir, sums := makeProxy(t, threeModules[0])
	kept := t.TempDir()
	args := []string{"modules", "--sums", writeSums(t, sums), "--goproxy", "file://" + dir, "--kept", kept, "--out"}
	mustStep(t, append(args, t.TempDir())...)
	old := time.Now().Add(-29 * 24 * time.Hour)
	for _, name := range names(t, kept) {
		require.NoError(t, os.Chtimes(filepath.Join(kept, name), old, old))
	}
	mustStep(t, append(args, t.TempDir())...)
	for _, name := range names(t, kept) {
		info, err := os.Stat(filepath.Join(kept, name))
		require.NoError(t, err)
		require.True(t, info.ModTime().After(old.Add(time.Hour)), name)
	}
}
