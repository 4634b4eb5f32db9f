package cacheprog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

func id(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// store puts text as the output of an action.
func store(t *testing.T, d Dir, action, text string) string {
	t.Helper()
	path, err := d.Put(id(action), id(text), int64(len(text)), strings.NewReader(text))
	require.NoError(t, err)
	return path
}

// tree describes all below dir: names, modes, times if wanted, contents.
func tree(t *testing.T, dir Dir, times bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(string(dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if times {
			text += " " + info.ModTime().UTC().String()
		}
		if !e.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		name, err := filepath.Rel(string(dir), path)
		all[name] = text
		return err
	})
	require.NoError(t, err)
	return all
}

// names returns the files below dir of a kind, such as -d.
func names(t *testing.T, dir Dir, suffix string) (found []string) {
	for name := range tree(t, dir, false) {
		if strings.HasSuffix(name, suffix) {
			found = append(found, name)
		}
	}
	return found
}

func TestPutAndGet(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "new", "cache"))
	_, ok := d.Get(id("a"), true)
	require.False(t, ok)

	for _, text := range []string{"text", "", "another for the same action"} {
		path := store(t, d, "a", text)
		require.Equal(t, d.file(id(text), "d"), path)
		e, ok := d.Get(id("a"), true)
		require.True(t, ok)
		require.Equal(t, Entry{OutputID: id(text), Size: int64(len(text)), Time: e.Time, Path: path}, e)
		require.WithinRange(t, e.Time, time.Now().Add(-time.Hour), time.Now())
	}
	require.Empty(t, leftover(t, d))

	line, err := os.ReadFile(d.file(id("a"), "a"))
	require.NoError(t, err)
	require.Regexp(t, fmt.Sprintf(`^v1 %x %x {19}27 \d{19}\n$`, id("a"), id("another for the same action")),
		strings.Replace(string(line), "  1", " 1", 1))
}

// leftover returns the names of files that are neither entries nor data.
func leftover(t *testing.T, d Dir) []string { return filterPrefix(names(t, d, ""), "new-") }

func filterPrefix(all []string, prefix string) (found []string) {
	for _, name := range all {
		if strings.HasPrefix(filepath.Base(name), prefix) {
			found = append(found, name)
		}
	}
	return found
}

func TestGetMissesWhatIsWrong(t *testing.T) {
	entry := func(d Dir) string { return d.file(id("a"), "a") }
	data := func(d Dir) string { return d.file(id("text"), "d") }
	line := fmt.Sprintf("v1 %x %x %20d %20d\n", id("a"), id("text"), 4, 5)
	replace := func(old, new string) string { return strings.Replace(line, old, new, 1) }
	hexOf := func(text string) string { return fmt.Sprintf("%x", id(text)) }
	set := func(path func(Dir) string, text string) func(d Dir) error {
		return func(d Dir) error { return os.WriteFile(path(d), []byte(text), 0o600) }
	}
	for name, tt := range map[string]struct {
		spoil       func(d Dir) error
		uncheckedOK bool
	}{
		"nothing":          {set(entry, line), true},
		"half entry":       {set(entry, line[:len(line)/2]), false},
		"empty entry":      {set(entry, ""), false},
		"no newline":       {set(entry, line[:len(line)-1]), false},
		"long entry":       {set(entry, line+"\n"), false},
		"other version":    {set(entry, "v2"+line[2:]), false},
		"other action":     {set(entry, replace(hexOf("a"), hexOf("b"))), false},
		"not hex":          {set(entry, replace(hexOf("text"), strings.Repeat("xy", 32))), false},
		"negative size":    {set(entry, replace(" 4 ", "-4 ")), false},
		"no size":          {set(entry, replace(" 4 ", "   ")), false},
		"other size":       {set(entry, replace(" 4 ", " 5 ")), false},
		"negative time":    {set(entry, replace(" 5\n", "-5\n")), false},
		"no separator":     {set(entry, replace(" 4 ", " 4x")), false},
		"entry is folder":  {func(d Dir) error { return errors.Join(os.Remove(entry(d)), os.Mkdir(entry(d), 0o700)) }, false},
		"no data":          {func(d Dir) error { return os.Remove(data(d)) }, false},
		"short data":       {set(data, "tex"), false},
		"long data":        {set(data, "texts"), false},
		"wrong data":       {set(data, "TEXT"), true},
		"data is a folder": {func(d Dir) error { return errors.Join(os.Remove(data(d)), os.Mkdir(data(d), 0o700)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := Dir(t.TempDir())
			store(t, d, "a", "text")
			require.NoError(t, tt.spoil(d))
			_, ok := d.Get(id("a"), false)
			require.Equal(t, tt.uncheckedOK, ok)
			_, ok = d.Get(id("a"), true)
			require.Equal(t, name == "nothing", ok)
			if name != "data is a folder" && name != "entry is folder" {
				store(t, d, "a", "text")
				_, ok = d.Get(id("a"), true)
				require.True(t, ok, "put again")
			}
		})
	}
	_, ok := Dir(t.TempDir()).Get([]byte("short"), true)
	require.False(t, ok)
}

func TestPutErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		action, output []byte
		size           int64
		body           string
		want           string
	}{
		"action": {nil, id("text"), 4, "text", "the IDs of action and output have 0 and 32 bytes"},
		"output": {id("a"), []byte("../../x"), 4, "text", "the IDs of action and output have 32 and 7 bytes"},
		"size":   {id("a"), id("text"), -4, "text", "is negative"},
		"short":  {id("a"), id("text"), 5, "text", "the data do not match their entry: they have 4 of 5 bytes"},
		"long":   {id("a"), id("text"), 3, "text", "they have more than 3 bytes"},
		"sum":    {id("a"), id("text"), 4, "TEXT", "their SHA-256 is "},
	} {
		t.Run(name, func(t *testing.T) {
			d := Dir(t.TempDir())
			_, err := d.Put(tt.action, tt.output, tt.size, strings.NewReader(tt.body))
			require.ErrorContains(t, err, tt.want)
			_, ok := d.Get(id("a"), false)
			require.False(t, ok)
			require.Empty(t, names(t, d, "-d"))
			require.Empty(t, names(t, d, "-a"))
		})
	}
	d := Dir(t.TempDir())
	_, err := d.Put(id("a"), id("text"), 4, iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	require.Empty(t, names(t, d, "-d"))
}

// Whoever is killed leaves data without an entry, and files of which not all is there.
func TestLeftoversAreNotServed(t *testing.T) {
	d := Dir(t.TempDir())
	half, err := d.newTemp(id("text"), "d")
	require.NoError(t, err)
	_, err = half.Write([]byte("te"))
	require.NoError(t, err)
	_, ok := d.Get(id("a"), true)
	require.False(t, ok)

	whole, err := d.newTemp(id("text"), "d")
	require.NoError(t, err)
	require.NoError(t, whole.fill(id("text"), 4, strings.NewReader("text")))
	require.NoError(t, whole.commit(time.Time{}))
	entry, err := d.newTemp(id("a"), "a")
	require.NoError(t, err)
	_, err = entry.Write([]byte("v1 "))
	require.NoError(t, err)
	_, ok = d.Get(id("a"), true)
	require.False(t, ok)
	require.Len(t, leftover(t, d), 2)

	d.trim(time.Now().Add(6 * 24 * time.Hour))
	require.Empty(t, leftover(t, d))
}

func TestConcurrentPuts(t *testing.T) {
	d := Dir(t.TempDir())
	texts := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 100_000)}
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			text := texts[i%2]
			_, err := d.Put(id("a"), id(text), int64(len(text)), strings.NewReader(text))
			if err != nil {
				t.Error(err)
			}
			if _, ok := d.Get(id("a"), true); !ok {
				t.Error("a miss while others put")
			}
		})
	}
	group.Wait()
	require.Empty(t, leftover(t, d))
}

func TestCopy(t *testing.T) {
	root := t.TempDir()
	from, to, again := Dir(filepath.Join(root, "from")), Dir(filepath.Join(root, "to")), Dir(filepath.Join(root, "again"))
	store(t, from, "a", "text")
	before := tree(t, from, true)
	require.NoError(t, to.Copy(from, id("a"), epoch))
	require.NoError(t, again.Copy(to, id("a"), epoch))
	e, ok := to.Get(id("a"), true)
	require.True(t, ok)
	require.True(t, e.Time.Equal(epoch))
	for _, d := range []Dir{to, again} {
		require.NoError(t, d.seal(epoch))
	}
	require.Equal(t, tree(t, to, true), tree(t, again, true))
	require.Equal(t, before, tree(t, from, true))

	require.ErrorContains(t, to.Copy(from, id("b"), epoch), "has no such entry")
	require.NoError(t, os.WriteFile(from.file(id("text"), "d"), []byte("TEXT"), 0o600))
	require.ErrorIs(t, to.Copy(from, id("a"), epoch), errMismatch)
	_, ok = to.Get(id("a"), true)
	require.True(t, ok, "the good copy is still there")
}

func TestSpareTakesOver(t *testing.T) {
	d, spare := Dir(t.TempDir()), Dir(t.TempDir())
	text := strings.Repeat("0123456789", 100_000)
	full, err := d.newTemp(id(text), "d")
	require.NoError(t, err)
	_, err = full.Write([]byte(text[:15]))
	require.NoError(t, err)
	name := full.file.Name()
	require.NoError(t, full.file.Close())
	full.file, err = os.Open(name) // can be read, but not written
	require.NoError(t, err)
	full.spare = func() (*temp, error) { return spare.newTemp(id(text), "d") }

	n, err := full.Write([]byte(text[15:]))
	require.NoError(t, err)
	require.Equal(t, len(text)-15, n)
	require.NoError(t, full.commit(time.Time{}))
	data, err := os.ReadFile(spare.file(id(text), "d"))
	require.NoError(t, err)
	require.True(t, bytes.Equal([]byte(text), data))
	require.Empty(t, names(t, d, "-d"))
}

func TestTrim(t *testing.T) {
	d := Dir(t.TempDir())
	now := time.Now()
	old := now.Add(-trimLimit - 2*touchInterval)
	age := func(action, text string, stamp time.Time) {
		path := store(t, d, action, text)
		require.NoError(t, os.Chtimes(path, stamp, stamp))
		require.NoError(t, os.Chtimes(d.file(id(action), "a"), stamp, stamp))
	}
	age("old", "old text", old)
	age("new", "new text", now)
	has := func(action string) bool {
		_, ok := d.Get(id(action), true)
		return ok
	}
	stamp := func(at time.Time) {
		require.NoError(t, os.WriteFile(filepath.Join(string(d), "trim.txt"), fmt.Appendf(nil, "%d\n", at.Unix()), 0o644))
	}
	stamp(now.Add(-time.Hour))
	d.trim(now)
	require.True(t, has("old"), "trimmed within a day")

	for _, last := range []time.Time{now.Add(-25 * time.Hour), now.Add(2 * time.Hour)} {
		age("old", "old text", old)
		stamp(last)
		d.trim(now)
		require.False(t, has("old"))
		require.True(t, has("new"))
		text, err := os.ReadFile(filepath.Join(string(d), "trim.txt"))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(now.Unix()), string(text))
	}
	Dir(filepath.Join(t.TempDir(), "missing")).trim(now)
}
