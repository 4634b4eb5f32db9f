package bundle

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/replay"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// recording makes one of URLs and what they answer; of an empty text only the head was asked.
func recording(t *testing.T, answers ...string) fs.FS {
	out := fstest.MapFS{}
	x := replay.Index{Platforms: []string{"linux/amd64"}}
	for i := 0; i < len(answers); i += 2 {
		a := replay.Answer{URL: answers[i], Status: 200, Size: int64(len(answers[i+1])), Step: "Dockerfile:1", Time: time.Unix(0, 0).UTC()}
		if a.Size > 0 {
			a.Digest = digest.FromString(answers[i+1])
			out[replay.BodyName(a.Digest)] = &fstest.MapFile{Data: []byte(answers[i+1])}
		}
		x.Answers = append(x.Answers, a)
	}
	var index bytes.Buffer
	require.NoError(t, x.Write(&index))
	out[replay.IndexName] = &fstest.MapFile{Data: index.Bytes()}
	return out
}

func (s *stock) recorded(files fs.FS) *Bundle {
	req := s.request()
	req.Folders = map[string]fs.FS{RecordedName: files}
	return s.create(s.t.TempDir(), req)
}

// What was recorded is listed, verified, merged and moved by a delta as all else in a bundle is.
func TestRecorded(t *testing.T) {
	s := newStock(t, 1)
	a := s.recorded(recording(t, "https://a.example/1", "one", "https://a.example/again", "one", "https://a.example/head", ""))
	got, err := a.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 2, got.Answers)
	require.Equal(t, 1, got.Files)
	view, err := a.Recorded(t.Context())
	require.NoError(t, err)
	defer view.Close()
	require.Equal(t, []string{replay.IndexName, replay.BodyName(digest.FromString("one"))}, view.Names(), "a body is there once")
	items, err := a.Items(t.Context())
	require.NoError(t, err)
	require.Equal(t, Item{Kind: KindAnswer, Name: "https://a.example/1", Size: 3, Digest: digest.FromString("one")}, items[0])
	var out strings.Builder
	require.NoError(t, a.WriteSPDX(t.Context(), &out, "test", time.Unix(0, 0)))
	require.Contains(t, out.String(), "https://a.example/again")

	b := s.recorded(recording(t, "https://a.example/1", "one", "https://b.example/2", "two"))
	all, err := Merge(t.Context(), filepath.Join(t.TempDir(), "all"), []*Bundle{a, b}, nil, SumDB{}, nil)
	require.NoError(t, err)
	got, err = all.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 3, got.Answers)

	other := s.recorded(recording(t, "https://a.example/1", "another"))
	_, err = Merge(t.Context(), filepath.Join(t.TempDir(), "all"), []*Bundle{a, other}, nil, SumDB{}, nil)
	require.ErrorContains(t, err, other.Dir()+": the recordings disagree on the answer to https://a.example/1: make one of them anew")

	req := s.request()
	req.Since, req.Folders = a, map[string]fs.FS{RecordedName: recording(t, "https://b.example/2", "two")}
	delta := s.create(t.TempDir(), req)
	next, err := Apply(t.Context(), a.Dir(), delta, Trust{})
	require.NoError(t, err)
	view, err = next.Recorded(t.Context())
	require.NoError(t, err)
	defer view.Close()
	require.Equal(t, []string{replay.IndexName, replay.BodyName(digest.FromString("two"))}, view.Names())

	none := s.create(t.TempDir(), s.request())
	view, err = none.Recorded(t.Context())
	require.NoError(t, err)
	require.Nil(t, view)
}

// A recording that isn't what it says gets into no bundle, and in a bundle it is found.
func TestDamagedRecording(t *testing.T) {
	s := newStock(t, 1)
	one := replay.BodyName(digest.FromString("one"))
	for what, tt := range map[string]struct {
		damage func(files fstest.MapFS)
		want   string
	}{
		"another body": {func(f fstest.MapFS) { f[one].Data = []byte("two") }, "the answer of https://a.example/1 has digest sha256:"},
		"no body":      {func(f fstest.MapFS) { delete(f, one) }, "adding recorded: open " + one},
		"no index":     {func(f fstest.MapFS) { delete(f, replay.IndexName) }, "adding recorded: reading a recording: open index.jsonl"},
		"a bad index":  {func(f fstest.MapFS) { f[replay.IndexName].Data = []byte("x") }, "adding recorded: index.jsonl, line 1: "},
	} {
		t.Run(what, func(t *testing.T) {
			files := recording(t, "https://a.example/1", "one").(fstest.MapFS)
			tt.damage(files)
			req := s.request()
			req.Folders = map[string]fs.FS{RecordedName: files}
			_, err := s.maker().Create(t.Context(), t.TempDir(), req)
			require.ErrorContains(t, err, tt.want)
		})
	}

	b := s.recorded(recording(t, "https://a.example/1", "one", "https://a.example/2", "two"))
	_, parts, err := b.manifest(t.Context())
	require.NoError(t, err)
	i := slices.IndexFunc(parts, func(p part) bool { return p.image == RecordedName })
	for n := range parts[i].items {
		parts[i].items[n].Name = strings.Replace(parts[i].items[n].Name, "example/2", "example/3", 1)
	}
	require.NoError(t, b.writeManifest(t.Context(), parts, nil))
	_, err = b.Verify(t.Context(), s.set(), "", nil)
	require.ErrorContains(t, err, "the manifest lists other answers than the index of what was recorded")
}

// manyAnswers is how many URLs a large recording has.
const manyAnswers = 100_000

// manyRecorded makes a recording of many URLs and some bodies.
func manyRecorded(t *testing.T, dir string) {
	x := replay.Index{Platforms: []string{"linux/amd64"}}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sha256"), 0o755))
	for i := range manyAnswers {
		text := fmt.Sprint(i % 1000)
		a := replay.Answer{URL: fmt.Sprintf("https://registry.example/some/package-%d/-/some-package-%d-1.0.0.tgz", i, i), Status: 200, Size: int64(len(text)), Digest: digest.FromString(text), Step: "web/Dockerfile:7", Time: time.Unix(0, 0).UTC(),
			Header: map[string]string{"Content-Type": "application/octet-stream", "Etag": fmt.Sprintf(`"%x"`, i), "Last-Modified": "Sat, 28 Nov 2026 00:00:00 GMT"}}
		x.Answers = append(x.Answers, a)
		if i < 1000 {
			require.NoError(t, os.WriteFile(filepath.Join(dir, replay.BodyName(a.Digest)), []byte(text), 0o644))
		}
	}
	f, err := os.Create(filepath.Join(dir, replay.IndexName))
	require.NoError(t, err)
	require.NoError(t, x.Write(f))
	require.NoError(t, f.Close())
}

// A recording of 100,000 URLs takes less than 200 MB of memory, each time in a process of its own: when a bundle is made of
// it, when that is verified and exported, and when it is opened to be replayed.
func TestManyRecorded(t *testing.T) {
	const inside = "LARDER_MANY_RECORDED"
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	steps := []struct {
		name string
		do   func(t *testing.T, dir string)
	}{
		{"create", func(t *testing.T, dir string) {
			_, err := Maker{}.Create(t.Context(), filepath.Join(dir, "bundle"), Request{Folders: map[string]fs.FS{RecordedName: os.DirFS(filepath.Join(dir, "recorded"))}})
			require.NoError(t, err)
		}},
		{"verify", func(t *testing.T, dir string) {
			b, err := Open(t.Context(), filepath.Join(dir, "bundle"), Trust{})
			require.NoError(t, err)
			got, err := b.Verify(t.Context(), gomod.Set{}, "", nil)
			require.NoError(t, err)
			require.Equal(t, manyAnswers, got.Answers)
		}},
		{"export", func(t *testing.T, dir string) {
			b, err := Open(t.Context(), filepath.Join(dir, "bundle"), Trust{})
			require.NoError(t, err)
			_, err = b.Export(t.Context(), Export{Dir: filepath.Join(dir, "export")})
			require.NoError(t, err)
		}},
		{"replay", func(t *testing.T, dir string) {
			b, err := Open(t.Context(), filepath.Join(dir, "bundle"), Trust{})
			require.NoError(t, err)
			view, err := b.Recorded(t.Context())
			require.NoError(t, err)
			defer view.Close()
			p, err := replay.Open(view)
			require.NoError(t, err)
			require.Len(t, p.Index().Answers, manyAnswers)
		}},
	}
	if name, dir, ok := strings.Cut(os.Getenv(inside), "="); ok {
		steps[slices.IndexFunc(steps, func(s struct {
			name string
			do   func(t *testing.T, dir string)
		}) bool {
			return s.name == name
		})].do(t, dir)
		fmt.Println("peak:", peakMemory(t))
		return
	}
	require.NoError(t, os.Mkdir(at("recorded"), 0o755))
	manyRecorded(t, at("recorded"))
	for _, s := range steps {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestManyRecorded$")
		cmd.Env = append(os.Environ(), inside+"="+s.name+"="+dir)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", s.name, out)
		var peak int
		_, text, _ := strings.Cut(string(out), "peak: ")
		_, err = fmt.Sscan(text, &peak)
		require.NoError(t, err)
		t.Logf("%s: %d kB", s.name, peak)
		require.Less(t, peak, 200_000, "%s: kB", s.name)
	}
}

// peakMemory returns what this process has taken at most, in kB: see proc(5). What getrusage(2) tells is of its parent, too.
func peakMemory(t *testing.T) (peak int) {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, text, _ := strings.Cut(string(status), "VmHWM:")
	_, err = fmt.Sscan(text, &peak)
	require.NoError(t, err)
	return peak
}

// An export has each body once, and the list of what was asked. One with another body than the list says isn't made.
func TestExportRecorded(t *testing.T) {
	s := newStock(t, 1)
	b := s.recorded(recording(t, "https://a.example/1", "one", "https://a.example/again", "one", "https://a.example/head", "", "https://a.example/2", "two"))
	dir := filepath.Join(t.TempDir(), "out")
	got, err := b.Export(t.Context(), Export{Dir: dir, Sums: s.set()})
	require.NoError(t, err)
	require.Equal(t, 3, got.Answers, "a head has no body")
	var names []string
	require.NoError(t, fs.WalkDir(os.DirFS(filepath.Join(dir, "recorded")), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	require.ElementsMatch(t, []string{replay.IndexName, replay.BodyName(digest.FromString("one")), replay.BodyName(digest.FromString("two"))}, names)
	data, err := os.ReadFile(filepath.Join(dir, "recorded", replay.BodyName(digest.FromString("two"))))
	require.NoError(t, err)
	require.Equal(t, "two", string(data))
}
