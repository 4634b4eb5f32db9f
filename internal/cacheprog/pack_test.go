package cacheprog

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// packTar returns a pack: names and texts of files.
func packTar(t testing.TB, files ...string) []byte {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	require.NoError(t, err)
	w := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}))
		_, err := io.WriteString(w, files[i+1])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestPack(t *testing.T) {
	one, two, packs, again, to := Dir(t.TempDir()), Dir(t.TempDir()), t.TempDir(), t.TempDir(), Dir(t.TempDir())
	texts := map[string]string{}
	for i := range 100 {
		action, text := fmt.Sprint("action ", i), strings.Repeat(fmt.Sprint(i, " "), i*100)
		texts[action] = text
		store(t, []Dir{one, two}[i%2], action, text)
	}
	store(t, two, "action 0", "") // both have it
	require.NoError(t, os.WriteFile(store(t, one, "broken", "text"), []byte("TEXT"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(string(one), "00-a"), nil, 0o600))

	n, err := Pack(t.Context(), packs, []Dir{one, two}, epoch)
	require.NoError(t, err)
	require.Equal(t, 100, n, "what isn't right is left out")
	_, err = Pack(t.Context(), again, []Dir{one, two}, epoch)
	require.NoError(t, err)
	require.Equal(t, tree(t, Dir(packs), false), tree(t, Dir(again), false))
	require.Len(t, tree(t, Dir(packs), false), 1+16, "the folder and a pack for each digit")

	store(t, to, "action 1", texts["action 1"])
	n, err = to.Unpack(t.Context(), packs)
	require.NoError(t, err)
	require.Equal(t, 99, n, "what is there stays")
	for action, text := range texts {
		e, ok := to.Get(id(action), true)
		require.True(t, ok)
		data, err := os.ReadFile(e.Path)
		require.NoError(t, err)
		require.Equal(t, text, string(data))
	}
	require.Empty(t, leftover(t, to))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Dir(t.TempDir()).Unpack(ended, packs)
	require.ErrorIs(t, err, context.Canceled)
	_, err = Pack(ended, t.TempDir(), []Dir{one}, epoch)
	require.ErrorIs(t, err, context.Canceled)
}

func TestUnpackWhatIsWrong(t *testing.T) {
	name := func(text, kind string) string { return packed(id(text), kind) }
	good := []string{name("a", "a"), entryLine(id("a"), id("text"), 4, epoch), name("text", "d"), "text"}
	whole := packTar(t, good...)
	for what, tt := range map[string]struct {
		pack []byte
		want string // of the error
	}{
		"nothing":          {nil, ""},
		"not zstd":         {[]byte("text"), "reading 0.tar.zst: "},
		"truncated":        {whole[:len(whole)/2], "reading 0.tar.zst: "},
		"no entry":         {packTar(t, "../../x", "text"), `"../../x" is no entry`},
		"a huge entry":     {packTar(t, name("a", "a"), strings.Repeat("v", 10_000)), "is no entry"},
		"another's entry":  {packTar(t, name("b", "a"), good[1]), "is no entry"},
		"an entry alone":   {packTar(t, good[:2]...), "unexpected EOF"},
		"another output":   {packTar(t, good[0], good[1], name("b", "d"), "text"), "is not the output of action"},
		"another size":     {packTar(t, good[0], good[1], good[2], "texts"), "is not the output of action"},
		"other data":       {packTar(t, good[0], good[1], good[2], "TEXT"), ""},
		"a bad name":       {packTar(t, good[0], good[1], "../"+good[2], "text"), "is not the output of action"},
		"no output at all": {packTar(t, good[0], good[1], good[0], good[1]), "is not the output of action"},
	} {
		t.Run(what, func(t *testing.T) {
			packs, d := t.TempDir(), Dir(t.TempDir())
			require.NoError(t, os.WriteFile(filepath.Join(packs, "0.tar.zst"), tt.pack, 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(packs, "1.tar.zst"), packTar(t, name("b", "a"), entryLine(id("b"), id("b"), 1, epoch), name("b", "d"), "b"), 0o600))
			n, err := d.Unpack(t.Context(), packs)
			require.Equal(t, 1, n, "the other packs are of use")
			if tt.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.want)
			}
			_, ok := d.Get(id("a"), false)
			require.False(t, ok)
			require.Empty(t, leftover(t, d))
		})
	}
}

// What a pack holds can only become whole entries in their places.
func FuzzUnpack(f *testing.F) {
	f.Add(packTar(f, packed(id("a"), "a"), entryLine(id("a"), id("text"), 4, epoch), packed(id("text"), "d"), "text"))
	f.Add(packTar(f, "../../x", "text"))
	f.Fuzz(func(t *testing.T, pack []byte) {
		if len(pack) > 1<<16 {
			t.Skip("larger than what is of interest")
		}
		d := Dir(t.TempDir())
		n, err := d.unpack(t.Context(), bytes.NewReader(pack))
		if err == nil && n == 0 {
			return
		}
		require.Empty(t, leftover(t, d))
		for name := range tree(t, d, false) {
			require.Regexp(t, `^(\.|[0-9a-f]{2}(/[0-9a-f]{64}-[ad])?)$`, name)
		}
	})
}
