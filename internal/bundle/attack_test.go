package bundle

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// blobName returns the file of a blob.
func blobName(b *Bundle, d digest.Digest) string {
	return filepath.Join(b.dir, "blobs/sha256", d.Encoded())
}

// layerOfModules returns the first layer of the modules.
func layerOfModules(t *testing.T, b *Bundle) ocispec.Descriptor {
	layers, err := b.layers(t.Context(), ModulesName)
	require.NoError(t, err)
	return layers[0]
}

// What was checked when a signed bundle was opened is what is read of it, whoever writes into its folder meanwhile.
func TestSwappedWhileRead(t *testing.T) {
	s := newStock(t, 3)
	dir := filepath.Join(t.TempDir(), "bundle")
	s.create(dir, s.request())
	k := newKey(t, "one.example")
	s.sign(dir, k, 1)
	b, err := Open(t.Context(), dir, trust(k))
	require.NoError(t, err)
	layer := layerOfModules(t, b)
	file := blobName(b, layer.Digest)
	good, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(file, 0o644))
	bad := slices.Clone(good)
	for i := 512; i < 600; i++ {
		bad[i] ^= 1 // the contents of its first file
	}

	view, err := b.View(t.Context(), ModulesName)
	require.NoError(t, err)
	defer view.Close()
	names, was := view.Names(), map[string]string{}
	for _, name := range names {
		data, err := fs.ReadFile(view, name)
		require.NoError(t, err)
		was[name] = string(data)
	}
	for _, now := range [][]byte{bad, good[:600]} {
		require.NoError(t, os.WriteFile(file, now, 0o644)) // in place
		for _, name := range names {
			if data, err := fs.ReadFile(view, name); err == nil {
				require.Equal(t, was[name], string(data)) // from memory: see TestSteadyBlob
			}
		}
	}

	_, err = b.View(t.Context(), ModulesName)
	require.ErrorContains(t, err, "is damaged", "it is checked before it is read")
	require.NoError(t, os.WriteFile(file, bad, 0o644))
	_, err = b.View(t.Context(), ModulesName)
	require.ErrorContains(t, err, "it has another digest")

	// Another file in its place is never seen by who has opened the first.
	require.NoError(t, os.WriteFile(file, good, 0o644))
	again, err := b.View(t.Context(), ModulesName)
	require.NoError(t, err)
	defer again.Close()
	require.NoError(t, os.WriteFile(file+".new", bad, 0o644))
	require.NoError(t, os.Rename(file+".new", file))
	for _, name := range names {
		_, err := fs.ReadFile(again, name)
		require.NoError(t, err)
	}
	// Another index in the place of the first isn't read either.
	require.NoError(t, os.WriteFile(file, good, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte("{}"), 0o644))
	_, err = b.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
}

// Reads of any place and length are what is there.
func TestSteadyBlob(t *testing.T) {
	data := make([]byte, 3*blockSize+100)
	for i := range data {
		data[i] = byte(i / 7)
	}
	name := filepath.Join(t.TempDir(), "blob")
	require.NoError(t, os.WriteFile(name, data, 0o644))
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	s, err := steady(blobFile{f, int64(len(data))}, ocispec.Descriptor{Digest: digest.FromBytes(data)})
	require.NoError(t, err)
	for _, at := range []int{0, 1, blockSize - 1, blockSize, 2*blockSize + 5, len(data) - 1} {
		for _, n := range []int{1, 10, blockSize, 2 * blockSize} {
			p := make([]byte, n)
			got, err := s.ReadAt(p, int64(at))
			want := data[at:min(at+n, len(data))]
			require.Equal(t, want, p[:got])
			if len(want) < n {
				require.Equal(t, io.EOF, err)
			} else {
				require.NoError(t, err)
			}
		}
	}
	w, err := os.OpenFile(name, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer w.Close()
	_, err = w.WriteAt([]byte{data[blockSize+7] ^ 1}, blockSize+7)
	require.NoError(t, err)
	_, err = s.ReadAt(make([]byte, 1), blockSize+1)
	require.ErrorContains(t, err, "was changed while it was read")
	_, err = s.ReadAt(make([]byte, 1), 2*blockSize)
	require.NoError(t, err)
	require.NoError(t, w.Truncate(2*blockSize))
	_, err = s.ReadAt(make([]byte, 1), 3*blockSize)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = s.ReadAt(make([]byte, 1), -1)
	require.Error(t, err)
	_, err = s.ReadAt(make([]byte, 1), int64(len(data)))
	require.Equal(t, io.EOF, err)
}

// What is no file is refused at once: a pipe would be waited for, a device never ends.
func TestBlobsAreFiles(t *testing.T) {
	for _, what := range []string{"index.json", "oci-layout", "blob"} {
		for kind, put := range map[string]func(string) error{
			"pipe":   func(name string) error { return syscall.Mkfifo(name, 0o644) },
			"device": func(name string) error { return os.Symlink("/dev/zero", name) },
			"folder": func(name string) error { return os.Mkdir(name, 0o755) },
		} {
			t.Run(what+" "+kind, func(t *testing.T) {
				s := newStock(t, 1)
				base := s.create(t.TempDir(), s.request())
				s.add("new.example/lib", "v1.0.0")
				req := s.request()
				req.Since = base
				delta := s.create(t.TempDir(), req)
				name := filepath.Join(delta.dir, what)
				if what == "blob" {
					name = blobName(delta, delta.Images()[ModulesName].Digest)
				}
				require.NoError(t, os.Remove(name))
				require.NoError(t, put(name))
				d, err := Open(t.Context(), delta.dir, Trust{})
				if err == nil {
					_, err = Apply(t.Context(), base.dir, d, Trust{})
				}
				require.Error(t, err)
				_, err = mustOpen(t, base.dir).Verify(t.Context(), gomod.Set{}, "", nil)
				require.NoError(t, err)
			})
		}
	}
}

// A bundle whose folder leads elsewhere isn't written to: what is there would be emptied with it.
func TestLinksInABundle(t *testing.T) {
	for _, name := range []string{"ingest", stagingDir, "blobs", "blobs/sha256", ".lock"} {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			s := newStock(t, 1)
			base := s.create(filepath.Join(t.TempDir(), "bundle"), s.request())
			s.add("new.example/lib", "v1.0.0")
			req := s.request()
			req.Since = base
			delta := s.create(t.TempDir(), req)
			home := t.TempDir()
			file := filepath.Join(base.dir, name)
			if _, err := os.Stat(file); err == nil && name != ".lock" {
				require.NoError(t, os.CopyFS(home, os.DirFS(file)))
			}
			precious := filepath.Join(home, "precious", "thesis")
			require.NoError(t, os.Mkdir(filepath.Dir(precious), 0o755))
			require.NoError(t, os.WriteFile(precious, []byte("x"), 0o644))
			before := read(t, home)
			require.NoError(t, os.RemoveAll(file))
			target := home
			if name == ".lock" {
				target = filepath.Join(home, "new")
			}
			require.NoError(t, os.Symlink(target, file))
			k := newKey(t, "one.example")
			for what, do := range map[string]func() error{
				"apply": func() error { _, err := Apply(t.Context(), base.dir, delta, Trust{}); return err },
				"sign":  func() error { _, err := Sign(t.Context(), base.dir, k.signing(1)); return err },
				"create": func() error {
					_, err := s.maker().Create(t.Context(), base.dir, s.request())
					return err
				},
				"prune": func() error {
					_, err := Prune(t.Context(), mustOpen(t, base.dir), Request{Modules: s.set()})
					return err
				},
			} {
				require.ErrorContains(t, do(), "leads elsewhere", what)
				require.FileExists(t, precious, what)
				require.Equal(t, before, read(t, home), what)
			}
		})
	}
}

// lyingRegistry says to have another index than the one that was asked for.
type lyingRegistry struct {
	ImageSource
	digest digest.Digest
}

func (l lyingRegistry) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, remotes.Fetcher, error) {
	name, desc, fetcher, err := l.ImageSource.Resolve(ctx, ref)
	if l.digest != "" {
		desc.Digest = l.digest
	}
	return name, desc, fetcher, err
}

// Of a bundle in a registry nothing is fetched but its index and its signature, unless that is by the right key.
func TestPullByKey(t *testing.T) {
	d := newDepot(t)
	k, other := newKey(t, "one.example"), newKey(t, "other.example")
	d.pushed()
	dir := filepath.Join(t.TempDir(), "pulled")
	refused := func(want string, by Trust) {
		d.t.Helper()
		before := d.Fetched()
		_, _, err := Pull(t.Context(), dir, d.ref, client(t), by, nil)
		require.ErrorContains(t, err, want)
		require.Less(t, d.Fetched()-before, int64(2000))
		require.NoFileExists(t, filepath.Join(dir, "index.json"))
	}
	refused("is not signed", trust(k))
	var err error
	d.b = d.sign(d.b.dir, other, 5)
	d.pushed()
	refused("is signed by "+other.name()+", and by none of the keys given", trust(k))
	refused("was signed with the serial 5, at 2026-01-02T03:04:05Z, and 6 is the least", Trust{Keys: trust(other).Keys, MinSerial: 6})

	d.b = d.sign(d.b.dir, k, 6)
	got, err := d.push()
	require.NoError(t, err)
	b, pulled, err := Pull(t.Context(), dir, d.ref, client(t), trust(k), nil)
	require.NoError(t, err)
	require.Equal(t, got.Index, pulled.Index)
	require.Equal(t, int64(6), b.Signed().Serial)
	d.check(dir)

	repo, _, _ := strings.Cut(d.ref, ":v1")
	pinned := fmt.Sprintf("%s@%s", repo, got.Index)
	_, _, err = Pull(t.Context(), filepath.Join(t.TempDir(), "pinned"), pinned, client(t), trust(k), nil)
	require.NoError(t, err)
	_, _, err = Pull(t.Context(), dir, pinned, lyingRegistry{client(t), d.b.Images()[ModulesName].Digest}, Trust{}, nil)
	require.ErrorContains(t, err, "the registry has "+d.b.Images()[ModulesName].Digest.String()+" there")
}

// What a manifest says is no part of the address that a registry is asked at.
func TestPushHostileTags(t *testing.T) {
	d := newDepot(t)
	for name, edit := range map[string]func(*Bundle){
		"set": func(b *Bundle) {
			_, parts, err := b.manifest(t.Context())
			require.NoError(t, err)
			require.NoError(t, b.writeManifest(t.Context(), parts, []string{"x/../../../victim/manifests/latest"}))
		},
		"toolchain": func(b *Bundle) {
			h, parts, err := b.manifest(t.Context())
			require.NoError(t, err)
			item := Item{Kind: KindToolchain, Name: gomod.ToolchainPath, Version: "go1.26/../../../victim/manifests/x", Platform: "linux/amd64"}
			b.setImage(ToolchainName, b.Images()[ModulesName])
			layers, err := b.layers(t.Context(), ToolchainName)
			require.NoError(t, err)
			for range layers {
				parts = append(parts, part{image: ToolchainName, items: []Item{item}})
			}
			require.NoError(t, b.writeManifest(t.Context(), parts, h.Sets))
		},
	} {
		d.make()
		edit(d.b)
		require.NoError(t, d.b.commit())
		_, err := d.push()
		require.ErrorContains(t, err, "which is none: don't use this bundle", name)
		require.Empty(t, d.Requests("PUT", "victim"), name)
	}
}

// Who makes a bundle of another takes no image by a name that is no full reference, whatever a manifest lists.
func TestMergeRefusesStrangers(t *testing.T) {
	d := newDepot(t)
	ref := d.Host + "/library/base:v1"
	for _, name := range []string{"build", "go", "larder-gocache", "alpine", "../x"} {
		d.make()
		h, parts, err := d.b.manifest(t.Context())
		require.NoError(t, err)
		for i := range parts {
			if parts[i].image == ref {
				parts[i].image, parts[i].items[0].Name = name, name
			}
		}
		d.b.setImage(name, d.b.Images()[ref])
		d.b.removeImage(ref)
		require.NoError(t, d.b.writeManifest(t.Context(), parts, h.Sets))
		require.NoError(t, d.b.commit())
		want := fmt.Sprintf("has an image of the name %q", name)
		_, err = d.b.Verify(t.Context(), d.set(), "", nil)
		require.ErrorContains(t, err, want)
		_, err = Merge(t.Context(), filepath.Join(t.TempDir(), "all"), []*Bundle{d.b, d.b}, nil, SumDB{}, nil)
		require.ErrorContains(t, err, want)
		_, err = Prune(t.Context(), d.b, Request{Modules: d.set()})
		require.ErrorContains(t, err, want)
		_, err = d.push()
		require.ErrorContains(t, err, want)
		contexts, err := d.b.Contexts(t.Context(), []string{name})
		require.NoError(t, err)
		require.Len(t, contexts, 1, "the modules")
	}
}
