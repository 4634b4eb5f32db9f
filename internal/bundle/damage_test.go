package bundle

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// baseImage is the image of a full bundle that isn't of Larder's making.
const baseImage = "docker.io/library/base:v1"

// images is a layout with the base image, an index of one platform.
func (s *stock) images() Layouts {
	b, err := open(s.t.Context(), s.t.TempDir(), Trust{})
	require.NoError(s.t, err)
	layer, err := b.addLayer(s.t.Context(), []file{memoryFile("etc/base", []byte("base\n"))})
	require.NoError(s.t, err)
	require.NoError(s.t, b.addImage(s.t.Context(), baseImage, []ocispec.Descriptor{layer}))
	m := b.Images()[baseImage]
	m.Annotations, m.Platform = nil, &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	index, err := b.addJSON(s.t.Context(), ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{m}})
	require.NoError(s.t, err)
	b.setImage(baseImage, index)
	return Layouts{b}
}

// full makes a bundle that has all that one can have, and what it was made for.
func (s *stock) full(dir string) (Request, SumDB) {
	req := s.request()
	tool := lib("v1.0.0")
	tool.GoSum = []byte(strings.Join(strings.SplitAfter(s.sums, "\n")[:2], "")) // of m0.example/lib
	req.Tools = []Tool{tool}
	req.Toolchains = []Toolchain{s.toolchain("go1.99.0")}
	req.SumDB = s.database()
	req.Images, req.Platforms = []string{baseImage}, []string{"linux/amd64"}
	req.Folders = map[string]fs.FS{VulnDBName: folder("index/db.json", "{}"), FilesName: folder("a.txt", "a")}
	req.Compiled = []Compiled{s.compiledFor("one.example/app", "a")}
	m := s.maker()
	m.Images = s.images()
	_, err := m.Create(s.t.Context(), dir, req)
	require.NoError(s.t, err)
	_, err = Sign(s.t.Context(), dir, newKey(s.t, "one.example").signing(1))
	require.NoError(s.t, err)
	return req, req.SumDB
}

// Whatever is damaged: verify names the blob, and what makes a bundle of it makes the one that it would have made without
// the damage, or says what is wrong.
func TestDamageOfEachKind(t *testing.T) {
	s := newStock(t, 3)
	dir := filepath.Join(t.TempDir(), "bundle")
	req, db := s.full(dir)
	whole := mustOpen(t, dir)
	got, err := whole.Verify(t.Context(), s.set(), db.Key, nil)
	require.NoError(t, err)
	require.Equal(t, Verified{Blobs: got.Blobs, Bytes: got.Bytes, Modules: 3, Toolchains: 1, Images: 1, Tools: 1, Files: 2, Compiled: 1, SumDB: 7}, got)
	merged, err := Merge(t.Context(), t.TempDir(), []*Bundle{whole}, []*Bundle{whole}, SumDB{}, nil)
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(dir+"-pruned", os.DirFS(dir)))
	want := Request{Modules: s.set(), Keys: req.Keys, Toolchains: req.Toolchains}
	pruned, err := Prune(t.Context(), mustOpen(t, dir+"-pruned"), want)
	require.NoError(t, err)

	kinds := map[digest.Digest]string{}
	for name, desc := range whole.Images() {
		one := &Bundle{dir: dir, store: whole.store, index: ocispec.Index{Manifests: []ocispec.Descriptor{desc}}}
		require.NoError(t, one.walk(t.Context(), func(d ocispec.Descriptor) error { kinds[d.Digest] = name + " " + d.MediaType; return nil }))
	}
	require.Len(t, kinds, got.Blobs)
	for blob, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			damaged := func() *Bundle {
				to := filepath.Join(t.TempDir(), "bundle")
				require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
				name := filepath.Join(to, "blobs/sha256", blob.Encoded())
				data, err := os.ReadFile(name)
				require.NoError(t, err)
				require.NoError(t, os.Remove(name))
				at := len(data) / 2
				if zip := bytes.Index(data, []byte("PK\x01\x02")); zip > 0 {
					at = zip - 20 // within a file of a module, not in what is beside them
				}
				data[at] ^= 1
				require.NoError(t, os.WriteFile(name, data, 0o644))
				return mustOpen(t, to)
			}
			b := damaged()
			_, err := b.Verify(t.Context(), gomod.Set{}, db.Key, nil)
			require.ErrorContains(t, err, b.Dir()+" is damaged: blob "+blob.String())
			for name, run := range map[string]func() (*Bundle, error){
				"merge": func() (*Bundle, error) {
					return Merge(t.Context(), t.TempDir(), []*Bundle{b}, []*Bundle{b}, SumDB{}, nil)
				},
				"prune": func() (*Bundle, error) { return Prune(t.Context(), b, want) },
			} {
				b = damaged()
				made, err := run()
				if err != nil {
					require.ErrorContains(t, err, b.Dir(), name)
					continue
				}
				require.Equal(t, map[string]*Bundle{"merge": merged, "prune": pruned}[name].Digest(), made.Digest(), name)
				_, err = made.Verify(t.Context(), s.set(), "", nil)
				require.NoError(t, err, name)
			}
		})
	}
}
