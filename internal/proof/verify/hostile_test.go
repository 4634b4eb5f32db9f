package verify

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/larder-build/larder/internal/testkit"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// An image for a platform that is marked as an attestation and stands first in the index of a good one is what containerd
// runs: it is verified as an image.
func TestImageMarkedAsAttestation(t *testing.T) {
	s := store{t, t.TempDir()}
	data, bill, _ := built(t, "/bin/app", nil)
	image := s.image(tarball(t, entry{name: "bin/app", data: data}))
	image.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	evil := s.image(tarball(t, entry{name: "bin/app", data: append(bytes.Clone(data), "evil"...)}))
	evil.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.Digest.String()}
	good := s.attested(image, image.Digest, bill)
	var index ocispec.Index
	s.read(good, &index)
	_, err := Image(t.Context(), s.open(good), "app.tar", nil, nil)
	require.NoError(t, err)
	for _, platform := range []*ocispec.Platform{{OS: "linux", Architecture: "amd64"}, nil} {
		evil.Platform = platform
		root := s.json(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: append([]ocispec.Descriptor{evil}, index.Manifests...)})
		_, err := Image(t.Context(), s.open(root), "app.tar", nil, nil)
		require.ErrorContains(t, err, "are both for linux/amd64, and a runtime takes one of them")
	}
	evil.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	root := s.json(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: append([]ocispec.Descriptor{evil}, index.Manifests...)})
	_, err = Image(t.Context(), s.open(root), "app.tar", nil, nil)
	require.ErrorContains(t, err, "its index says that it is for linux/arm64, and its config that it is for linux/amd64")
}

// A program that runtimes find in an image is told of, or the image is refused, whatever its layers do to hide it. What
// containerd makes of the layers is what counts.
func TestLayersHideNothing(t *testing.T) {
	data, _, _ := built(t, "/bin/app", nil)
	evil := func(name string) raw { return raw{Header: tar.Header{Name: name, Typeflag: tar.TypeReg}, data: data} }
	header := func(name string, kind byte, link string) raw {
		return raw{Header: tar.Header{Name: name, Typeflag: kind, Linkname: link}}
	}
	for name, layers := range map[string][][]raw{
		"a hard link to a lower layer":        {{evil("x/evil")}, {header("app", tar.TypeLink, "x/evil")}, {header("x/.wh.evil", tar.TypeReg, "")}},
		"a global header by its name":         {{evil("evil")}, {raw{Header: tar.Header{Name: "evil", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "evil"}}}}},
		"a file in the place of the root":     {{evil("evil")}, {header(".", tar.TypeReg, "")}},
		"a link in the place of the root":     {{evil("evil")}, {header(".", tar.TypeSymlink, "x")}},
		"written through a link":              {{header("b/", tar.TypeDir, ""), header("a", tar.TypeSymlink, "b"), evil("a/evil")}, {header(".wh.a", tar.TypeReg, "")}},
		"written through a lower layer's":     {{header("b/", tar.TypeDir, ""), header("a", tar.TypeSymlink, "b")}, {evil("a/evil")}, {header(".wh.a", tar.TypeReg, "")}},
		"a hard link through a replaced one":  {{evil("c/app"), header("a/app", tar.TypeReg, ""), header("a", tar.TypeSymlink, "c"), header("app", tar.TypeLink, "a/app")}, {header("c/.wh.app", tar.TypeReg, "")}},
		"a whiteout of the folder itself":     {{evil("a/evil")}, {header("a/b/.wh...", tar.TypeReg, "")}},
		"a device in its place":               {{evil("evil")}, {header("evil", tar.TypeChar, "")}},
		"a type that nobody knows":            {{evil("evil")}, {header("evil", 'Z', "")}},
		"another file system's own attribute": {{evil("a/evil")}, {raw{Header: tar.Header{Name: "b/", Typeflag: tar.TypeDir, PAXRecords: map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/a"}}}, header(".wh.a", tar.TypeReg, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := store{t, t.TempDir()}
			var tars [][]byte
			for _, l := range layers {
				tars = append(tars, rawTar(t, l...))
			}
			found, err := s.open(s.image(tars...)).Images(t.Context())
			require.NoError(t, err)
			contents, err := contents(t.Context(), found[0], nil, progress.Or(nil))
			if err != nil {
				t.Log(err)
				return
			}
			told := map[string]bool{}
			for _, b := range contents.Binaries {
				told[b.Path] = true
			}
			for _, path := range programs(t, tars) {
				require.True(t, told[path], "%s is in the image, and nothing tells of it", path)
			}
			require.NotEmpty(t, told, "the attack should leave a program in the image")
		})
	}
}

type raw struct {
	tar.Header
	data []byte
}

// rawTar writes entries as they are, also those that a tar.Writer refuses to.
func rawTar(t *testing.T, entries ...raw) []byte {
	var buf bytes.Buffer
	for _, e := range entries {
		h := e.Header
		h.Mode, h.Size = 0o755, int64(len(e.data))
		kind := h.Typeflag
		if kind == 'Z' {
			h.Typeflag = tar.TypeReg
		}
		if kind == tar.TypeXGlobalHeader {
			h.Mode, h.Name = 0, ""
		}
		start := buf.Len()
		w := tar.NewWriter(&buf)
		require.NoError(t, w.WriteHeader(&h), e.Name)
		_, err := w.Write(e.data)
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		if kind == 'Z' || kind == tar.TypeReg && e.Name == "." {
			retype(buf.Bytes()[start:], kind)
		}
	}
	buf.Write(make([]byte, 1024))
	return buf.Bytes()
}

// retype changes the type of the first header.
func retype(block []byte, kind byte) {
	block[156] = kind
	copy(block[148:156], "        ")
	sum := 0
	for _, c := range block[:512] {
		sum += int(c)
	}
	copy(block[148:156], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
}

// programs are the programs of Go in what containerd makes of layers; none if it refuses them.
func programs(t *testing.T, tars [][]byte) (found []string) {
	testkit.NeedRoot(t) // to give files to other users
	dir := t.TempDir()
	for _, data := range tars {
		if _, err := archive.Apply(t.Context(), dir, bytes.NewReader(data)); err != nil {
			return nil
		}
	}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		path := "/" + name[len(dir)+1:]
		b, err := inspect(path, f, nil)
		if b != nil {
			found = append(found, path)
		}
		return err
	}))
	return found
}

// FuzzLayer has a layer read whatever it is: what is told of is what containerd unpacks of it, or less is unpacked.
func FuzzLayer(f *testing.F) {
	f.Add([]byte("hello"), []byte("a/b"), byte(tar.TypeReg), "c", byte(tar.TypeLink), "a/b")
	f.Add([]byte("\x7fELF"), []byte(".wh.a"), byte(tar.TypeDir), "a", byte(tar.TypeSymlink), "..")
	f.Add([]byte("P:a\nV:1\n"), []byte("lib/apk/db/installed"), byte(tar.TypeReg), "lib", byte(tar.TypeSymlink), "usr/lib")
	f.Fuzz(func(t *testing.T, data, name []byte, kind byte, second string, secondKind byte, link string) {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if kind != tar.TypeReg {
			data = nil
		}
		if w.WriteHeader(&tar.Header{Name: string(name), Typeflag: kind, Linkname: link, Size: int64(len(data))}) != nil {
			return
		}
		_, _ = w.Write(data)
		if w.WriteHeader(&tar.Header{Name: second, Typeflag: secondKind, Linkname: link}) != nil {
			return
		}
		l := newLayer(newCovers())
		if l.read(&buf) != nil {
			return
		}
		for path := range l.found {
			require.True(t, filepath.IsAbs(path) && filepath.Clean(path) == path, "%q", path)
		}
		_ = l.finish(&sbom.Contents{})
	})
}

func (s store) read(desc ocispec.Descriptor, v any) {
	data, err := os.ReadFile(filepath.Join(s.dir, "blobs", "sha256", desc.Digest.Encoded()))
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(data, v))
}
