package lastbuild

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/larder-build/larder/frontend/changes"
	"github.com/stretchr/testify/require"
)

// tree writes files into a folder.
func tree(t testing.TB, dir string, files map[string]string) {
	for name, text := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
}

// age makes files look as if nobody had written them for a while.
func age(t *testing.T, dir string) {
	old := time.Now().Add(-time.Hour)
	require.NoError(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(name, old, old)
	}))
}

func look(t *testing.T, dir, dockerfile string, ignore []string, before *Record) *Record {
	r := &Record{}
	r.Build = changes.NewBuild("Dockerfile", []byte(dockerfile), "", nil)
	require.NoError(t, r.Look(t.Context(), dir, ignore, before))
	return r
}

func names(r *Record) (list []string) {
	for _, f := range r.Files {
		list = append(list, f.Name)
	}
	return list
}

// What lines copy is looked at, without what .dockerignore leaves out, and nothing else is.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"conf/a": "a", "conf/b.tmp": "b", "other/c": "c", "one": "1", "conf/deep/x": "x"})
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "conf/link")))
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "away")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "conf/pipe"), 0o644))
	const file = "FROM scratch\nCOPY conf /\nCOPY on* away/outside ../other /missing /\nADD https://a.example/x /\n"
	r := look(t, dir, file, []string{"**/*.tmp", "conf/deep"}, nil)
	require.Equal(t, []string{"conf/a", "conf/link", "one", "other/c"}, names(r), "a link is not followed, a pipe not opened")
	require.NoError(t, os.WriteFile(outside, []byte("other secret"), 0o600))
	require.Empty(t, look(t, dir, file, []string{"**/*.tmp", "conf/deep"}, nil).Differences(r, dir))

	require.Equal(t, []string{"conf/a"}, names(look(t, dir, "FROM scratch\nCOPY conf/a /\n", nil, nil)))
	require.Equal(t, []string{"conf/deep/x"}, names(look(t, dir, "FROM scratch\nCOPY conf /\n", []string{"conf", "!conf/deep/x"}, nil)))
	require.Empty(t, names(look(t, dir, "FROM scratch\nRUN true\n", nil, nil)))
	require.Len(t, names(look(t, dir, "FROM scratch\nRUN --mount=type=bind,target=/src true\n", nil, nil)), 7)
}

func TestDifferences(t *testing.T) {
	dir := t.TempDir()
	const file = "FROM scratch\nCOPY conf /\n"
	tree(t, dir, map[string]string{"conf/a": "a", "conf/b": "b", "conf/c": "c", "conf/d": "d", "conf/e": "e"})
	age(t, dir)
	first := look(t, dir, file, nil, nil)
	tree(t, dir, map[string]string{"conf/a": "A", "conf/new": "n", "conf/e": "e"})
	require.NoError(t, os.Remove(filepath.Join(dir, "conf/b")))
	require.NoError(t, os.Chmod(filepath.Join(dir, "conf/c"), 0o755))
	second := look(t, dir, file, []string{"conf/d"}, first)
	require.Equal(t, map[string]string{
		"conf/a": "changed", "conf/b": "is gone", "conf/c": "changed", "conf/d": "is read no more", "conf/new": "is new to the build",
	}, second.Differences(first, dir))
}

// A file is read again only if it may have changed. One that was just written may be written again without a trace.
func TestStamps(t *testing.T) {
	dir := t.TempDir()
	const file = "FROM scratch\nCOPY a b /\n"
	tree(t, dir, map[string]string{"a": "a", "b": "b"})
	first := look(t, dir, file, nil, nil)
	require.Empty(t, first.Files[0].Stamp, "its inode has changed in the last seconds")

	s := &snapshot{settle: time.Now().Add(time.Hour)}
	for i, f := range first.Files {
		info, err := os.Lstat(filepath.Join(dir, f.Name))
		require.NoError(t, err)
		first.Files[i].Stamp = s.stamp(info)
		require.NotEmpty(t, first.Files[i].Stamp)
	}
	first.Files[0].Digest = "what was kept"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b"), []byte("B"), 0o644)) // as large, and maybe in the same moment
	second := &Record{}
	second.Build = first.Build
	require.NoError(t, second.Look(t.Context(), dir, nil, first))
	require.Equal(t, []string{"a", "b"}, names(second))
	require.NotEqual(t, first.Files[1].Digest, second.Files[1].Digest)
	require.NotEqual(t, "what was kept", second.Files[0].Digest, "it is young yet: it is read again")
	require.Equal(t, map[string]string{"a": "changed", "b": "changed"}, second.Differences(first, dir))
}

// Of a large file the size and the time tell whether it changed, also once it is no longer large.
func TestLargeFiles(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"large": "", "small": "s"})
	require.NoError(t, os.Truncate(filepath.Join(dir, "large"), maxHashed+1))
	const file = "FROM scratch\nCOPY large small /\n"
	first := look(t, dir, file, nil, nil)
	require.Equal(t, weak, first.Files[0].Digest[:1])
	require.NotEqual(t, weak, first.Files[1].Digest[:1])
	require.Empty(t, look(t, dir, file, nil, first).Differences(first, dir))
	require.NoError(t, os.Chtimes(filepath.Join(dir, "large"), time.Time{}, time.Unix(1, 0)))
	second := look(t, dir, file, nil, first)
	require.Equal(t, map[string]string{"large": "changed"}, second.Differences(first, dir))

	// Of many files only so much is read.
	for i := range maxRead/maxHashed + 1 {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "many"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "many", fmt.Sprint(i)), nil, 0o644))
		require.NoError(t, os.Truncate(filepath.Join(dir, "many", fmt.Sprint(i)), maxHashed))
	}
	r := look(t, dir, "FROM scratch\nCOPY many /\n", nil, nil)
	require.Len(t, r.Files, maxRead/maxHashed+1)
	require.Equal(t, weak, r.Files[len(r.Files)-1].Digest[:1])
}

// Of too many files none is remembered.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"first": ""})
	for i := range maxFiles + 1 {
		require.NoError(t, os.Link(filepath.Join(dir, "first"), filepath.Join(dir, fmt.Sprint(i))))
	}
	r := look(t, dir, "FROM scratch\nCOPY . /\n", []string{"first"}, nil)
	require.True(t, r.More)
	require.Empty(t, r.Files)
}

func TestStore(t *testing.T) {
	s := Store{filepath.Join(t.TempDir(), "deep", "records")}
	r, err := s.Load("none")
	require.NoError(t, err)
	require.Nil(t, r)
	require.NoError(t, s.Save("a", &Record{Files: []File{{Name: "x", Digest: "d"}}}))
	info, err := os.Stat(filepath.Join(s.Dir, "a.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	info, err = os.Stat(s.Dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	r, err = s.Load("a")
	require.NoError(t, err)
	require.Equal(t, []string{"x"}, names(r))

	huge := &Record{}
	huge.Build.Dockerfile = strings.Repeat("#", maxDockerfile+1)
	require.NoError(t, s.Save("huge", huge))
	r, err = s.Load("huge")
	require.NoError(t, err)
	require.Nil(t, r, "it isn't kept")

	for i := range maxRecords + 5 {
		require.NoError(t, s.Save(fmt.Sprint(i), &Record{}))
	}
	entries, err := os.ReadDir(s.Dir)
	require.NoError(t, err)
	require.Len(t, entries, maxRecords)
	r, err = s.Load(fmt.Sprint(maxRecords + 4))
	require.NoError(t, err)
	require.NotNil(t, r, "the newest stay")
}

// Builds at the same time each leave a record that is whole.
func TestConcurrentSaves(t *testing.T) {
	s := Store{t.TempDir()}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				r := &Record{Files: []File{{Name: fmt.Sprint("f", i), Digest: strings.Repeat("d", 2000)}}}
				if err := s.Save("k", r); err != nil {
					t.Error(err)
				}
				if _, err := s.Load("k"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	entries, err := os.ReadDir(s.Dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// What was written by others is refused, each with what is wrong.
func TestHostileRecords(t *testing.T) {
	s := Store{t.TempDir()}
	path := filepath.Join(s.Dir, "k.json")
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":     {"", "unexpected end of JSON input"},
		"half":        {`{"version":1,"files":[{"n":"a"`, "unexpected end of JSON input"},
		"a version":   {`{"version":99}`, "the format has version 99, and this Larder reads 1"},
		"no version":  {`{}`, "the format has version 0"},
		"a way out":   {`{"version":1,"files":[{"n":"../../etc/passwd","d":"d"}]}`, `"../../etc/passwd" is none that a record has`},
		"a root":      {`{"version":1,"files":[{"n":"/etc/passwd","d":"d"}]}`, `is none that a record has`},
		"a long name": {`{"version":1,"files":[{"n":"` + strings.Repeat("a", 5000) + `"}]}`, "is none that a record has"},
		"disorder":    {`{"version":1,"files":[{"n":"b"},{"n":"a"}]}`, "its files aren't sorted"},
		"many files":  {`{"version":1,"files":[` + strings.Repeat(`{"n":"a"},`, maxFiles) + `{"n":"a"}]}`, "more than 50000 files"},
		"a large one": {strings.Repeat(" ", maxRecord+1), "a record has at most 32 MiB"},
		"another":     {`[]`, "cannot unmarshal array"},
		"deep":        {strings.Repeat(`{"build":`, 20000), "exceeded max depth"},
		"a long file": {`{"version":1,"build":{"dockerfile":"` + strings.Repeat("#", maxDockerfile+1) + `"}}`, "a Dockerfile of over 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			r, err := s.Load("k")
			require.Nil(t, r)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "k.json")
		})
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink("/dev/zero", path))
	_, err := s.Load("k")
	require.ErrorIs(t, err, syscall.ELOOP)
	require.NoError(t, os.Remove(path))
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	_, err = s.Load("k")
	require.ErrorContains(t, err, "isn't a file")
}

// Whatever a record says, it can be compared with a build.
func FuzzRecord(f *testing.F) {
	r := &Record{Files: []File{{Name: "main.go", Digest: "d", Stamp: "s"}}}
	r.Build = changes.NewBuild("Dockerfile", []byte("FROM go AS a\nGO build ./...\nFROM scratch\nCOPY --from=a x* /\nENV A=1\nRUN true\n"), "", nil)
	r.Build.Slices = []changes.Slice{{Name: "larder-source-2", Files: []string{"main.go"}, Globs: []string{"x/**", "!y"}}}
	r.Images = map[string][]string{"alpine:3": {"sha256:0"}}
	r.Steps = map[string][]changes.Facts{"line 2": {{Variables: map[string]string{"A": "1"}, Imports: []string{"fmt"}, Flags: []string{"-a"}}}}
	r.Version = version
	data, err := json.Marshal(r)
	require.NoError(f, err)
	f.Add(data)
	f.Add([]byte(`{"version":1,"build":{"dockerfile":"FROM a\n","target":"0"},"steps":{"line 0":[{}]}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := parse(data)
		if err != nil {
			return
		}
		now := *r
		files := now.Differences(before, dir)
		changes.Explain(before.Memory, now.Memory, new(changes.Steps), files, nil)
		before.Build.Reads()
	})
}
