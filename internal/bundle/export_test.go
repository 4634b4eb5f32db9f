package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func readFile(t *testing.T, name ...string) string {
	data, err := os.ReadFile(filepath.Join(name...))
	require.NoError(t, err)
	return string(data)
}

// All that a bundle has is in the export of it, as others read it.
func TestExport(t *testing.T) {
	s := newStock(t, 3)
	s.add("m0.example/lib", "v1.10.0")
	s.add("m0.example/lib", "v1.9.0")
	dir := filepath.Join(t.TempDir(), "bundle")
	_, db := s.full(dir)
	b := mustOpen(t, dir)
	out := filepath.Join(t.TempDir(), "a folder, and $HOME")
	got, err := b.Export(t.Context(), Export{Dir: out, Sums: s.set(), Key: db.Key})
	require.NoError(t, err)
	require.Equal(t, Verified{Blobs: got.Blobs, Bytes: got.Bytes, Modules: 5, Toolchains: 1, Images: 1, Tools: 1, Files: 2, SumDB: 11}, got)

	for _, name := range []string{"m1.example/lib/@v/v1.0.0.zip", "m1.example/lib/@v/v1.0.0.mod", "golang.org/toolchain/@v/v0.0.1-go1.99.0.linux-amd64.zip"} {
		require.Equal(t, readFile(t, s.dir, name), readFile(t, out, "proxy", name), name)
	}
	require.JSONEq(t, readFile(t, s.dir, "m1.example/lib/@v/v1.0.0.info"), readFile(t, out, "proxy/m1.example/lib/@v/v1.0.0.info"))
	require.Equal(t, "v1.0.0\nv1.9.0\nv1.10.0\n", readFile(t, out, "proxy/m0.example/lib/@v/list"))
	require.Empty(t, readFile(t, out, "proxy/sumdb/sum.example/supported"))
	require.Contains(t, readFile(t, out, "proxy/sumdb/sum.example/lookup/m1.example/lib@v1.0.0"), "m1.example/lib v1.0.0 h1:")
	require.Equal(t, "a", readFile(t, out, "files/a.txt"))
	require.Equal(t, "{}", readFile(t, out, "vulndb/index/db.json"))
	require.Contains(t, readFile(t, out, "tools/lib/go.mod"), "m0.example/lib v1.0.0")
	parent := strings.TrimSuffix(out, "/a folder, and $HOME")
	require.Equal(t, "GOPROXY=file://"+parent+"/a%20folder%2C%20and%20%24HOME/proxy\nGONOPROXY=none\nGOSUMDB="+db.Key+"\nGOTOOLCHAIN=auto\n", readFile(t, out, "env"))

	archive := tar.NewReader(strings.NewReader(readFile(t, out, "toolchains/go1.99.0.linux-amd64.tar")))
	h, err := archive.Next()
	require.NoError(t, err)
	require.Equal(t, "go/bin/go", h.Name)
	require.Equal(t, fs.FileMode(0o755), h.FileInfo().Mode())
	data, err := io.ReadAll(archive)
	require.NoError(t, err)
	require.Equal(t, "#!/bin/sh\n", string(data))

	require.Equal(t, "images/docker.io_library_base_v1.tar\t"+baseImage+"\t"+b.Images()[baseImage].Digest.String()+"\n", readFile(t, out, "images.txt"))
	layout, err := oci.Open(filepath.Join(out, "images/docker.io_library_base_v1.tar"))
	require.NoError(t, err)
	defer layout.Close()
	images, err := layout.Images(t.Context())
	require.NoError(t, err)
	require.Len(t, images, 1)
	require.NoError(t, images[0].ReadLayer(t.Context(), 0, func(r io.Reader) error {
		layer := tar.NewReader(r)
		h, err := layer.Next()
		for err == nil && h.Name != "etc/base" {
			h, err = layer.Next()
		}
		require.NoError(t, err, "etc/base isn't in the layer")
		data, err := io.ReadAll(layer)
		require.Equal(t, "base\n", string(data))
		return err
	}))

	again := filepath.Join(t.TempDir(), "out")
	require.NoError(t, os.Mkdir(again, 0o700))
	_, err = b.Export(t.Context(), Export{Dir: again, At: "/export", Key: "", Sums: s.set()})
	require.NoError(t, err, "an empty folder may be there")
	require.Equal(t, "GOPROXY=file:///export/proxy\nGONOPROXY=none\nGOSUMDB=off\nGOTOOLCHAIN=local\n", readFile(t, again, "env"), "without the database's key nobody vouches for a toolchain")
	for _, tree := range []string{"proxy", "images", "toolchains", "tools", "files", "vulndb"} {
		require.Equal(t, read(t, filepath.Join(out, tree)), read(t, filepath.Join(again, tree)), "it is the same each time")
	}
}

// The go command takes modules and toolchains from an export, with the checksum database's word on both, and has no network.
func TestGoCommandOnExport(t *testing.T) {
	offline := testkit.Offline(t)
	s := newStock(t, 3)
	dir, out := filepath.Join(t.TempDir(), "bundle"), filepath.Join(t.TempDir(), "with space")
	_, db := s.full(dir)
	_, err := mustOpen(t, dir).Export(t.Context(), Export{Dir: out, Key: db.Key})
	require.NoError(t, err)
	cache := testkit.TempModuleCache(t)
	gocmd := func(goenv, toolchain string, args ...string) (string, error) {
		cmd := offline.Command(t, "go", args...)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + testkit.Home(t), "GOMODCACHE=" + cache, "GOENV=" + goenv}
		if toolchain != "" {
			cmd.Env = append(cmd.Env, "GOTOOLCHAIN="+toolchain)
		}
		text, err := cmd.CombinedOutput()
		return string(text), err
	}
	env := filepath.Join(out, "env")
	text, err := gocmd(env, "", "mod", "download", "m0.example/lib@latest")
	require.NoError(t, err, text)
	text, err = gocmd(env, "go1.99.0", "version") // whose go prints nothing
	require.NoError(t, err, text)
	require.Equal(t, "go: downloading go1.99.0 (linux/amd64)\n", text)

	// Who swaps files afterwards is found out by the go command: the database's word is of what was exported.
	other := testkit.Module{Path: "m1.example/lib", Version: "v1.0.0", Files: map[string]string{"lib.go": "package lib\n\n// swapped\n"}}
	other.Write(t, filepath.Join(out, "proxy"))
	text, err = gocmd(env, "", "mod", "download", "m1.example/lib@v1.0.0")
	require.Error(t, err)
	require.Contains(t, text, "SECURITY ERROR")
	// Nothing else is asked, by no setting that is there already.
	text, err = gocmd(env, "", "mod", "download", "m9.example/lib@v1.0.0")
	require.Error(t, err)
	require.Contains(t, text, "reading file://")
}

// nothing is what an export that fails leaves.
func nothing(t *testing.T, parent string) {
	list, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, list)
}

// Whatever is damaged: there is no export, and the error names the blob, or what is wrong with what it holds.
func TestExportOfDamage(t *testing.T) {
	s := newStock(t, 3)
	dir := filepath.Join(t.TempDir(), "bundle")
	_, db := s.full(dir)
	whole := mustOpen(t, dir)
	var blobs []digest.Digest
	require.NoError(t, whole.walk(t.Context(), func(d ocispec.Descriptor) error { blobs = append(blobs, d.Digest); return nil }))
	require.Greater(t, len(blobs), 15)
	for _, blob := range blobs {
		for _, at := range []float64{0.5, 0.999} {
			damaged := filepath.Join(t.TempDir(), "bundle")
			require.NoError(t, os.CopyFS(damaged, os.DirFS(dir)))
			b := mustOpen(t, damaged)
			name := blobName(b, blob)
			data := []byte(readFile(t, name))
			data[int(float64(len(data))*at)] ^= 1
			require.NoError(t, os.Remove(name))
			require.NoError(t, os.WriteFile(name, data, 0o644))
			parent := t.TempDir()
			_, err := b.Export(t.Context(), Export{Dir: filepath.Join(parent, "out"), Key: db.Key})
			require.ErrorContains(t, err, b.Dir()+" is damaged: ")
			require.ErrorContains(t, err, blob.String())
			nothing(t, parent)
		}
	}
}

// A bundle whose digests are right may lie all the same.
func TestExportOfHostileBundles(t *testing.T) {
	for _, s := range seeds(t) {
		t.Run(s.name, func(t *testing.T) {
			dir, parent := t.TempDir(), t.TempDir()
			hostile(t, dir, s.index, s.modules, s.manifest, s.items, s.layer)
			b, err := Open(t.Context(), dir, Trust{})
			if err == nil {
				_, err = b.Export(t.Context(), Export{Dir: filepath.Join(parent, "out")})
			}
			if s.want == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			nothing(t, parent)
		})
	}
}

func TestExportRefuses(t *testing.T) {
	s := newStock(t, 2)
	req := s.request()
	plain := s.create(t.TempDir(), req)
	req.Toolchains = []Toolchain{s.toolchain("go1.99.0")}
	unproved := s.create(t.TempDir(), req)
	req = s.request()
	s.add("n.example/lib", "v1.0.0")
	more := s.set()
	req.Since = plain
	delta := s.create(t.TempDir(), req)

	// Names that differ, of which an archive would have but one.
	two := mustOpen(t, plain.Dir())
	layer, err := two.addLayer(t.Context(), []file{memoryFile("x", []byte("x"))})
	require.NoError(t, err)
	h, parts, err := two.manifest(t.Context())
	require.NoError(t, err)
	for _, name := range []string{"one.example/a:b_c", "one.example/a_b:c"} {
		require.NoError(t, two.addImage(t.Context(), name, []ocispec.Descriptor{layer}))
		parts = append(parts, part{image: name, items: []Item{{Kind: KindImage, Name: name, Digest: two.Images()[name].Digest}}})
	}
	require.NoError(t, two.writeManifest(t.Context(), parts, h.Sets))

	// A database's file that would be a module's.
	spoof := mustOpen(t, plain.Dir())
	layer, err = spoof.addLayer(t.Context(), []file{memoryFile("m0.example/lib/@v/v9.0.0.zip", []byte("x"))})
	require.NoError(t, err)
	require.NoError(t, spoof.addImage(t.Context(), SumDBName, []ocispec.Descriptor{layer}))
	_, parts, err = spoof.manifest(t.Context())
	require.NoError(t, err)
	parts = append(parts, part{image: SumDBName, items: []Item{{Kind: KindSumDB, Name: "sum.example", Digest: layer.Digest}}})
	require.NoError(t, spoof.writeManifest(t.Context(), parts, h.Sets))

	for name, tt := range map[string]struct {
		b    *Bundle
		sums gomod.Set
		want string
	}{
		"a delta":               {b: delta, want: "is a delta to the bundle " + plain.Digest().String() + ": apply it there"},
		"what go.sum has":       {b: plain, sums: more, want: "lacks the zip of n.example/lib@v1.0.0, which go.sum lists"},
		"a toolchain of nobody": {b: unproved, want: "nothing shows that it is what Go's makers published"},
		"one name of two":       {b: two, want: "two things that would be the file images/one.example_a_b_c.tar"},
		"no database's file":    {b: spoof, want: "has the file m0.example/lib/@v/v9.0.0.zip, which is none of a checksum database"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			_, err := tt.b.Export(t.Context(), Export{Dir: filepath.Join(parent, "out"), Sums: tt.sums})
			require.ErrorContains(t, err, tt.want)
			nothing(t, parent)
		})
	}

	full := testkit.Tree(t, "-- mine.txt --\nmine\n")
	for _, dir := range []string{full, filepath.Join(full, "mine.txt")} {
		_, err := plain.Export(t.Context(), Export{Dir: dir})
		require.ErrorContains(t, err, "it is there already, and no empty folder: name another")
		require.Equal(t, "mine\n", readFile(t, full, "mine.txt"))
	}
}

// What is written is what was checked, whoever writes into the bundle's folder meanwhile: no key is needed for that.
func TestSwappedWhileExported(t *testing.T) {
	s := newStock(t, 3)
	b := s.create(t.TempDir(), s.request())
	layer := blobName(b, layerOfModules(t, b).Digest)
	good := []byte(readFile(t, layer))
	require.NoError(t, os.Chmod(layer, 0o644))
	view, err := b.steadyView(t.Context(), ModulesName)
	require.NoError(t, err)
	defer view.Close()
	was := map[string]string{}
	for _, name := range view.Names() {
		data, err := fs.ReadFile(view, name)
		require.NoError(t, err)
		was[name] = string(data)
	}
	bad := slices.Clone(good)
	at := bytes.Index(good, []byte(`"Version"`)) // in an .info, which no hash but the layer's is of
	require.Positive(t, at)
	bad[at+1] ^= 1
	require.NoError(t, os.WriteFile(layer, bad, 0o644))
	for _, name := range view.Names() {
		data, err := fs.ReadFile(view, name)
		if err != nil {
			require.ErrorContains(t, err, "was changed while it was read") // else it is from memory
			continue
		}
		require.Equal(t, was[name], string(data))
	}
	parent := t.TempDir()
	_, err = b.Export(t.Context(), Export{Dir: filepath.Join(parent, "out")})
	require.ErrorContains(t, err, "is damaged: blob ")
	nothing(t, parent)
}

func TestExportOnFullDisk(t *testing.T) {
	testkit.NeedRoot(t)
	s := newStock(t, 3)
	dir := filepath.Join(t.TempDir(), "bundle")
	_, db := s.full(dir)
	for pages, done := 2, false; !done; pages += 4 {
		disk := t.TempDir()
		require.NoError(t, unix.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("nr_blocks=%d", pages)))
		_, err := mustOpen(t, dir).Export(t.Context(), Export{Dir: filepath.Join(disk, "out"), Key: db.Key})
		if done = err == nil; !done {
			require.ErrorIs(t, err, unix.ENOSPC)
			nothing(t, disk)
		}
		require.True(t, !done || pages > 20, "smaller steps are needed")
		require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH))
	}
}
