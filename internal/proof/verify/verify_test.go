package verify

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
)

// An entry of a layer: a file, a folder if the name ends in a slash, or a hard link.
type entry struct {
	name string
	data []byte
	link string
}

func tarball(t *testing.T, entries ...entry) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.data)), Typeflag: tar.TypeReg}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname = tar.TypeLink, e.link
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := w.Write(e.data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// A store is an OCI layout that is written.
type store struct {
	t   *testing.T
	dir string
}

func (s store) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	file := filepath.Join(s.dir, "blobs", "sha256", d.Digest.Encoded())
	require.NoError(s.t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(s.t, os.WriteFile(file, data, 0o644))
	return d
}

func (s store) json(mediaType string, v any) ocispec.Descriptor {
	data, err := json.Marshal(v)
	require.NoError(s.t, err)
	return s.blob(mediaType, data)
}

func (s store) image(layers ...[]byte) ocispec.Descriptor {
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}}
	for _, l := range layers {
		m.Layers = append(m.Layers, s.blob(ocispec.MediaTypeImageLayer, l))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(l))
	}
	m.Config = s.json(ocispec.MediaTypeImageConfig, config)
	return s.json(ocispec.MediaTypeImageManifest, m)
}

// attested returns an index of an image with statements, each a predicate of SPDX.
func (s store) attested(image ocispec.Descriptor, about digest.Digest, predicates ...[]byte) ocispec.Descriptor {
	manifests := []ocispec.Descriptor{image}
	for _, p := range predicates {
		l := s.json("application/vnd.in-toto+json", map[string]any{
			"predicateType": spdxPredicate, "predicate": json.RawMessage(p),
			"subject": []any{map[string]any{"name": "x", "digest": map[string]string{"sha256": about.Encoded()}}},
		})
		l.Annotations = map[string]string{"in-toto.io/predicate-type": spdxPredicate}
		m := s.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: s.json(ocispec.MediaTypeImageConfig, ocispec.Image{}), Layers: []ocispec.Descriptor{l}})
		m.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
		m.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.Digest.String()}
		manifests = append(manifests, m)
	}
	return s.json(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: manifests})
}

func (s store) open(root ...ocispec.Descriptor) *oci.Layout {
	data, err := json.Marshal(ocispec.Index{Manifests: root})
	require.NoError(s.t, err)
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "index.json"), data, 0o644))
	l, err := oci.Open(s.dir)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, l.Close()) })
	return l
}

// built returns a binary of Go, Larder's own, and its bill under a path.
func built(t *testing.T, path string, edit func(*sbom.Binary)) (data, bill []byte, b *sbom.Binary) {
	data, err := os.ReadFile(testkit.Larder(t, "larder-frontend"))
	require.NoError(t, err)
	b, err = sbom.Inspect(path, bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	require.NotEmpty(t, b.Modules())
	listed := *b
	info := *b.Info
	listed.Info = &info
	if edit != nil {
		edit(&listed)
	}
	bill, err = sbom.Document(&sbom.Contents{Binaries: []sbom.Binary{listed}}, sbom.Facts{Name: "x"}, func(sbom.Module) []string { return nil })
	require.NoError(t, err)
	return data, bill, b
}

// sumsOf returns a go.sum of what is linked into a binary.
func sumsOf(t *testing.T, b *sbom.Binary, edit func(string) string) *gomod.Set {
	var text strings.Builder
	for _, m := range b.Modules() {
		text.WriteString(m.Path + " " + m.Version.Version + " " + m.H1 + "\n")
	}
	set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(edit(text.String()))})
	require.NoError(t, err)
	return &set
}

func TestImage(t *testing.T) {
	s := store{t, t.TempDir()}
	data, bill, b := built(t, "/bin/app", nil)
	image := s.image(tarball(t, entry{name: "bin/app", data: data}))
	first := b.Modules()[0]
	same := func(text string) string { return text }
	for name, test := range map[string]struct {
		root ocispec.Descriptor
		sums *gomod.Set
		want []string
	}{
		"good":         {root: s.attested(image, image.Digest, bill), sums: sumsOf(t, b, same)},
		"no bill":      {root: image, want: []string{"it has no SBOM: build it with --sbom=true"}},
		"two bills":    {root: s.attested(image, image.Digest, bill, []byte("{}")), want: []string{"it has 2 SBOMs, and larder makes one"}},
		"of a scanner": {root: s.attested(image, image.Digest, []byte(`{"documentNamespace": "https://anchore.com/x"}`)), want: []string{"the SBOM can't be compared: it was not made by larder"}},
		"empty": {root: s.attested(image, image.Digest, s.bill(func(b *sbom.Binary) { b.Path = "/bin/other" })), want: []string{
			"/bin/app is a binary of Go, and the SBOM doesn't list it", "the SBOM lists /bin/other, and there is no such binary of Go"}},
		"another file": {root: s.attested(image, image.Digest, s.bill(func(b *sbom.Binary) { b.SHA256 = "00" })), want: []string{"/bin/app has the SHA-256 " + b.SHA256 + ", and the SBOM says 00"}},
		"left out":     {root: s.attested(image, image.Digest, s.bill(func(b *sbom.Binary) { b.Info.Deps = b.Info.Deps[1:] })), want: []string{"/bin/app has " + first.Link() + " linked in, and the SBOM doesn't list that"}},
		"not in go.sum": {root: s.attested(image, image.Digest, bill), want: []string{"/bin/app has " + first.Version.String() + " linked in, which go.sum doesn't list"},
			sums: sumsOf(t, b, func(text string) string { _, rest, _ := strings.Cut(text, "\n"); return rest })},
		"other sum": {root: s.attested(image, image.Digest, bill), want: []string{"/bin/app has " + first.Version.String() + " linked in with " + first.H1 + ", and go.sum says h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
			sums: sumsOf(t, b, func(text string) string {
				return strings.Replace(text, first.H1, "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", 1)
			})},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Image(t.Context(), s.open(test.root), "app.tar", test.sums, nil)
			require.NoError(t, err)
			require.Equal(t, test.root.Digest, r.Digest)
			problems := r.Platforms[0].Problems
			require.Len(t, problems, len(test.want), "%s", problems)
			for i, want := range test.want {
				require.Contains(t, problems[i], want)
			}
			require.Equal(t, len(test.want) == 0, r.Err() == nil)
		})
	}
	invented := s.attested(image, image.Digest, s.bill(func(b *sbom.Binary) {
		more := *b.Info.Deps[0]
		more.Path += "/more"
		b.Info.Deps = append(b.Info.Deps[:0:0], append(b.Info.Deps, &more)...)
	}))
	r, err := Image(t.Context(), s.open(invented), "app.tar", nil, nil)
	require.NoError(t, err)
	require.Len(t, r.Problems(), 1)
	require.Contains(t, r.Problems()[0], "linux/amd64: the SBOM says that /bin/app has "+first.Path+"/more")
}

func (s store) bill(edit func(*sbom.Binary)) []byte {
	_, bill, _ := built(s.t, "/bin/app", edit)
	return bill
}

func TestImageDamaged(t *testing.T) {
	s := store{t, t.TempDir()}
	layer := tarball(t, entry{name: "x", data: []byte("hello")})
	image := s.image(layer)
	_, err := Image(t.Context(), s.open(image, s.image()), "app.tar", nil, nil)
	require.ErrorContains(t, err, "app.tar holds more than one image")
	_, err = Image(t.Context(), s.open(), "app.tar", nil, nil)
	require.ErrorContains(t, err, "app.tar is empty")
	_, err = Image(t.Context(), s.open(s.attested(image, digest.FromString("other"), []byte("{}"))), "app.tar", nil, nil)
	require.ErrorContains(t, err, "it is about another image")
	file := filepath.Join(s.dir, "blobs", "sha256", digest.FromBytes(layer).Encoded())
	require.NoError(t, os.WriteFile(file, bytes.Replace(layer, []byte("hello"), []byte("hullo"), 1), 0o644))
	_, err = Image(t.Context(), s.open(image), "app.tar", nil, nil)
	require.ErrorContains(t, err, "sha256:")
}

// What is in an image is what its layers leave of it.
func TestLayers(t *testing.T) {
	data, _, _ := built(t, "/bin/app", nil)
	text := []byte("#!/bin/sh\n")
	base := tarball(t, entry{name: "a/"}, entry{name: "a/app", data: data}, entry{name: "b/linked", link: "a/app"}, entry{name: "lib/apk/db/installed", data: []byte("P:a\nV:1\n")})
	for name, test := range map[string]struct {
		above [][]byte
		want  []string
		apk   int
	}{
		"one layer":      {nil, []string{"/a/app", "/b/linked"}, 1},
		"removed":        {[][]byte{tarball(t, entry{name: "a/.wh.app"})}, []string{"/b/linked"}, 1},
		"folder removed": {[][]byte{tarball(t, entry{name: ".wh.a"}), tarball(t, entry{name: "a/"})}, []string{"/b/linked"}, 1},
		"opaque":         {[][]byte{tarball(t, entry{name: "b/"}, entry{name: "b/.wh..wh..opq"})}, []string{"/a/app"}, 1},
		"replaced":       {[][]byte{tarball(t, entry{name: "./a/app", data: text}, entry{name: "lib/apk/db/installed", data: []byte("P:a\nV:1\n\nP:b\nV:2\n")})}, []string{"/b/linked"}, 2},
		"by a folder":    {[][]byte{tarball(t, entry{name: "a/app/"})}, []string{"/b/linked"}, 1},
		"by a file":      {[][]byte{tarball(t, entry{name: "a", data: text})}, []string{"/b/linked"}, 1},
		"twice":          {[][]byte{tarball(t, entry{name: "d", data: text}, entry{name: "c", data: data}, entry{name: "c", link: "d"}, entry{name: "lib/.wh.apk"})}, []string{"/a/app", "/b/linked"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := store{t, t.TempDir()}
			images, err := s.open(s.image(append([][]byte{base}, test.above...)...)).Images(t.Context())
			require.NoError(t, err)
			c, err := contents(t.Context(), images[0], nil, progress.Or(nil))
			require.NoError(t, err)
			var paths []string
			for _, b := range c.Binaries {
				paths = append(paths, b.Path)
			}
			require.Equal(t, test.want, paths)
			require.Len(t, c.Packages, test.apk)
		})
	}
}

func TestSign(t *testing.T) {
	keys := func(name string) (note.Signer, note.Verifier) {
		skey, vkey, err := note.GenerateKey(rand.Reader, name)
		require.NoError(t, err)
		signer, err := note.NewSigner(skey)
		require.NoError(t, err)
		verifier, err := note.NewVerifier(vkey)
		require.NoError(t, err)
		return signer, verifier
	}
	signer, verifier := keys("release.example.com")
	_, other := keys("other.example.com")
	image := digest.FromString("image")
	sig, err := Sign(image, signer)
	require.NoError(t, err)
	signers, err := Signers(sig, image, note.VerifierList(verifier, other))
	require.NoError(t, err)
	require.Len(t, signers, 1)
	require.True(t, strings.HasPrefix(signers[0], "release.example.com+"))
	for want, err := range map[string]error{
		"by none of the keys given": second(Signers(sig, image, note.VerifierList(other))),
		"and this image is sha256:": second(Signers(sig, digest.FromString("another"), note.VerifierList(verifier))),
		"isn't by that key":         second(Signers(bytes.Replace(sig, []byte("larder image"), []byte("larder Image"), 1), image, note.VerifierList(verifier))),
		"can't be read":             second(Signers([]byte("x"), image, note.VerifierList(verifier))),
	} {
		require.ErrorContains(t, err, want)
	}
}

func second[T any](_ T, err error) error { return err }
