package bundle

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
)

// A key is one to sign with, and to check with.
type key struct {
	note.Signer
	verifier note.Verifier
}

func newKey(t *testing.T, name string) key {
	skey, vkey, err := GenerateKey(rand.Reader, name)
	require.NoError(t, err)
	signer, err := note.NewSigner(skey)
	require.NoError(t, err)
	verifier, err := note.NewVerifier(vkey)
	require.NoError(t, err)
	return key{signer, verifier}
}

// name is what Signed calls the key.
func (k key) name() string { return keyName(k.Name(), k.KeyHash()) }

// day is when the tests sign.
var day = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func (k key) signing(serial int64) Signing { return Signing{k.Signer, serial, day} }

// trust is in some keys.
func trust(keys ...key) (t Trust) {
	for _, k := range keys {
		t.Keys = append(t.Keys, k.verifier)
	}
	return t
}

func (s *stock) sign(dir string, k key, serial int64) *Bundle {
	b, err := Sign(s.t.Context(), dir, k.signing(serial))
	require.NoError(s.t, err)
	return b
}

// signers returns who of some keys has signed a bundle.
func signers(t *testing.T, dir string, of ...key) []string {
	b, err := Open(t.Context(), dir, trust(of...))
	require.NoError(t, err)
	return b.Signed().By
}

func TestGenerateKey(t *testing.T) {
	for _, name := range []string{"", "a b", "a+b", "a\nb", "\xff"} {
		_, _, err := GenerateKey(rand.Reader, name)
		require.ErrorContains(t, err, "neither spaces nor plus signs", "%q", name)
	}
}

func TestSign(t *testing.T) {
	s := newStock(t, 5)
	dir := filepath.Join(t.TempDir(), "bundle")
	b := s.create(dir, s.request())
	before, unsigned := b.Digest(), read(t, dir)
	one, two, other := newKey(t, "one.example"), newKey(t, "two.example"), newKey(t, "one.example")
	_, err := Open(t.Context(), dir, trust(one))
	require.ErrorContains(t, err, dir+" is not signed")
	_, err = Sign(t.Context(), dir, one.signing(0))
	require.ErrorContains(t, err, "give --serial")

	late := one.signing(1)
	late.Time = time.Unix(1<<50, 0)
	_, err = Sign(t.Context(), dir, late)
	require.ErrorContains(t, err, "no signature can have this time")

	b = s.sign(dir, one, 7)
	require.Equal(t, before, b.Digest(), "a signature leaves the digest as it is")
	signed := read(t, dir)
	s.sign(dir, one, 7)
	require.Equal(t, signed, read(t, dir), "signed twice by one key, it has one signature")
	later := two.signing(0)
	later.Time = day.Add(time.Hour)
	_, err = Sign(t.Context(), dir, later)
	require.NoError(t, err)
	require.Equal(t, []string{one.name(), two.name()}, signers(t, dir, one, two, other))
	require.Equal(t, []string{two.name()}, signers(t, dir, two))
	_, err = Open(t.Context(), dir, trust(other))
	require.ErrorContains(t, err, "is signed by "+one.name()+", "+two.name()+", and by none of the keys given")
	b, err = Open(t.Context(), dir, trust(two))
	require.NoError(t, err)
	require.Equal(t, &Signed{By: []string{two.name()}, Serial: 7, Time: day.Truncate(time.Second)}, b.Signed(), "a signature that is added has the time and serial of the first")

	verified, err := b.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 5, verified.Modules)
	require.Zero(t, verified.Images)
	items, err := b.Items(t.Context())
	require.NoError(t, err)
	require.Len(t, items, 5)
	require.Len(t, read(t, dir), len(signed), "what earlier signatures were in is gone")

	_, err = Sign(t.Context(), dir, one.signing(6))
	require.ErrorContains(t, err, "--serial 6: it is signed with the serial 7 already, at 2026-01-02T03:04:05Z")
	s.sign(dir, one, 8)
	require.Equal(t, []string{one.name()}, signers(t, dir, one, two), "with another serial it is another text")

	s.create(dir, s.request())
	require.Equal(t, unsigned, read(t, dir), "made again, it is unsigned")
}

// read returns the files of a bundle by their names.
func read(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	for _, pattern := range []string{"*", "blobs/*/*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				data, err := os.ReadFile(name)
				require.NoError(t, err)
				files[strings.TrimPrefix(name, dir)] = string(data)
			}
		}
	}
	return files
}

// The text is what others' programs are to make as well: see docs/reference/bundle-format.md.
func TestSignedText(t *testing.T) {
	s := statement{12, day, digest.FromString("")}
	text := "larder bundle\nserial 12\ntime 2026-01-02T03:04:05Z\nindex sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
	require.Equal(t, text, s.text())
	got, err := parseStatement(text)
	require.NoError(t, err)
	require.Equal(t, statement{12, day.Truncate(time.Second), s.contents}, got)
	for _, bad := range []string{
		"", "larder bundle\n", text + "\n", text + "more\n", strings.TrimSuffix(text, "\n"), " " + text, strings.Replace(text, "bundle", "image", 1), strings.Replace(text, "12", "0", 1),
		strings.Replace(text, "12", "-12", 1), strings.Replace(text, "12", "+12", 1), strings.Replace(text, "12", "012", 1), strings.Replace(text, "12", "0xc", 1), strings.Replace(text, "12", "99999999999999999999", 1),
		strings.Replace(text, "Z", "+00:00", 1), strings.Replace(text, "Z", "+01:00", 1), strings.Replace(text, "05Z", "05.5Z", 1), strings.Replace(text, "sha256", "md5", 1), strings.Replace(text, "e3b0", "E3B0", 1), strings.ReplaceAll(text, "\n", "\r\n"),
	} {
		_, err := parseStatement(bad)
		require.Error(t, err, "%q", bad)
	}
}

// Nothing that index.json says can be changed after it was signed: no image, and nothing of a descriptor.
func TestSignatureCoversTheIndex(t *testing.T) {
	s := newStock(t, 3)
	dir := filepath.Join(t.TempDir(), "bundle")
	s.create(dir, s.request())
	k := newKey(t, "one.example")
	s.sign(dir, k, 1)
	index := filepath.Join(dir, ocispec.ImageIndexFile)
	good, err := os.ReadFile(index)
	require.NoError(t, err)
	descriptor := func(change func(*ocispec.Descriptor)) func(*Bundle) {
		return func(b *Bundle) { change(&b.index.Manifests[1]) }
	}
	for name, change := range map[string]func(*Bundle){
		"another image":    func(b *Bundle) { b.setImage(ModulesName, b.Images()[ManifestName]) },
		"one image more":   func(b *Bundle) { b.setImage("docker.io/library/alpine:3", b.Images()[ManifestName]) },
		"one image less":   func(b *Bundle) { b.removeImage(ModulesName) },
		"another order":    func(b *Bundle) { slices.Reverse(b.index.Manifests) },
		"annotation":       descriptor(func(d *ocispec.Descriptor) { d.Annotations["x"] = "y" }),
		"platform":         descriptor(func(d *ocispec.Descriptor) { d.Platform = &ocispec.Platform{OS: "linux", Architecture: "arm64"} }),
		"size":             descriptor(func(d *ocispec.Descriptor) { d.Size++ }),
		"media type":       descriptor(func(d *ocispec.Descriptor) { d.MediaType = "application/vnd.docker.distribution.manifest.v2+json" }),
		"artifact type":    descriptor(func(d *ocispec.Descriptor) { d.ArtifactType = "x" }),
		"data":             descriptor(func(d *ocispec.Descriptor) { d.Data = []byte("x") }),
		"index annotation": func(b *Bundle) { b.index.Annotations = map[string]string{"x": "y"} },
		"subject":          func(b *Bundle) { b.index.Subject = &b.index.Manifests[1] },
		"artifact":         func(b *Bundle) { b.index.ArtifactType = "x" },
	} {
		b := mustOpen(t, dir)
		change(b)
		require.NoError(t, b.commit())
		_, err = Open(t.Context(), dir, trust(k))
		require.ErrorContains(t, err, "is not what "+k.name()+" signed", name)
		require.ErrorContains(t, err, "don't use this bundle", name)

		if name == "annotation" { // who signs it all the same signs alone
			after := newKey(t, "two.example")
			s.sign(dir, after, 1)
			require.Equal(t, []string{after.name()}, signers(t, dir, k, after), name)
		}
		require.NoError(t, os.WriteFile(index, good, 0o644))
		s.create(dir, s.request())
		s.sign(dir, k, 1)
		again, err := os.ReadFile(index)
		require.NoError(t, err)
		require.Equal(t, string(good), string(again))
	}
	// What Larder's own types have no field for, or what it and others could read differently.
	for name, text := range map[string]string{
		"an unknown field":      strings.Replace(string(good), `{"schemaVersion"`, `{"other":1,"schemaVersion"`, 1),
		"of a descriptor":       strings.Replace(string(good), `{"mediaType"`, `{"other":1,"mediaType"`, 1),
		"a key in another case": strings.Replace(string(good), `"digest"`, `"Digest"`, 1),
		"a key twice":           strings.Replace(string(good), `"digest"`, `"digest":"sha256:`+strings.Repeat("a", 64)+`","digest"`, 1),
		"a space":               string(good) + " ",
	} {
		require.NotEqual(t, string(good), text)
		require.NoError(t, os.WriteFile(index, []byte(text), 0o644))
		_, err = Open(t.Context(), dir, trust(k))
		require.ErrorContains(t, err, "a signature can't cover all of it", name)
	}
	require.NoError(t, os.WriteFile(index, good, 0o644))
	_, err = Open(t.Context(), dir, trust(k))
	require.NoError(t, err)
}

// A blob that is said to lie elsewhere is refused, wherever that is said and whoever has signed it.
func TestURLsAreRefused(t *testing.T) {
	s := newStock(t, 1)
	dir := filepath.Join(t.TempDir(), "bundle")
	b := s.create(dir, s.request())
	k := newKey(t, "one.example")
	var m ocispec.Manifest
	require.NoError(t, b.readJSON(t.Context(), b.Images()[ModulesName], &m))
	m.Layers[0].URLs = []string{"http://169.254.169.254/x"}
	require.NoError(t, b.addManifest(t.Context(), ModulesName, "", m.Config, m.Layers))
	require.NoError(t, b.commit())
	_, err := Sign(t.Context(), dir, k.signing(1))
	require.ErrorContains(t, err, `is said to lie at "http://169.254.169.254/x"`)
	b, err = Open(t.Context(), dir, trust(k))
	require.NoError(t, err, "what index.json leads to isn't read yet")
	_, err = b.Verify(t.Context(), gomod.Set{}, "", nil)
	require.ErrorContains(t, err, `is said to lie at "http://169.254.169.254/x"`)
	b.index.Manifests[0].URLs = m.Layers[0].URLs
	require.NoError(t, b.commit())
	_, err = Open(t.Context(), dir, Trust{})
	require.ErrorContains(t, err, `is said to lie at "http://169.254.169.254/x"`)
}

func signText(t *testing.T, k key, text string) []byte {
	data, err := note.Sign(&note.Note{Text: text}, k)
	require.NoError(t, err)
	return data
}

// signatureOf returns the base64 of a note's last signature.
func signatureOf(data []byte) string {
	fields := strings.Fields(string(data))
	return fields[len(fields)-1]
}

func TestDamagedSignature(t *testing.T) {
	s := newStock(t, 1)
	dir := filepath.Join(t.TempDir(), "bundle")
	b := s.create(dir, s.request())
	k, other := newKey(t, "one.example"), newKey(t, "one.example")
	text := statement{1, day, b.contents()}.text()
	data := string(signText(t, k, text))
	raw, err := base64.StdEncoding.DecodeString(signatureOf(signText(t, other, text)))
	require.NoError(t, err)
	copy(raw, binary.BigEndian.AppendUint32(nil, k.KeyHash()))
	forged := strings.Replace(data, signatureOf([]byte(data)), base64.StdEncoding.EncodeToString(raw), 1)
	for name, tt := range map[string]struct{ note, want string }{
		"no note":       {"nonsense", "has a signature that can't be checked: malformed note"},
		"empty":         {"", "has a signature that can't be checked: malformed note"},
		"other bytes":   {strings.Replace(data, "larder bundle\n", "larder bundel\n", 1), "has a signature by " + k.name() + " that isn't by that key"},
		"other serial":  {strings.Replace(data, "serial 1\n", "serial 2\n", 1), "has a signature by " + k.name() + " that isn't by that key"},
		"forged":        {forged, "has a signature by " + k.name() + " that isn't by that key"},
		"another thing": {string(signText(t, k, "larder image\n"+string(b.contents())+"\n")), "what " + k.name() + ` signed is no bundle: it begins with "larder image`},
		"too large":     {strings.Repeat("x", maxSignature+1), "has a signature of over 1048576 bytes"},
	} {
		require.NoError(t, b.addSignature(t.Context(), []byte(tt.note)), name)
		require.NoError(t, b.commit())
		_, err := Open(t.Context(), dir, trust(k))
		require.ErrorContains(t, err, tt.want, name)
		s.sign(dir, k, 2)
		require.Equal(t, []string{k.name()}, signers(t, dir, k), name)
	}

	require.NoError(t, b.addManifest(t.Context(), SignatureName, "text/plain", ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromString("")}, []ocispec.Descriptor{}))
	require.NoError(t, b.commit())
	_, err = Open(t.Context(), dir, trust(k))
	require.ErrorContains(t, err, "has a signature of type text/plain")
}

// A delta is signed as what it makes of the other side's bundle, whoever has signed that.
func TestSignedDelta(t *testing.T) {
	s := newStock(t, 20)
	here, there := filepath.Join(t.TempDir(), "here"), filepath.Join(t.TempDir(), "there")
	old := s.create(filepath.Join(t.TempDir(), "old"), s.request())
	require.NoError(t, os.CopyFS(here, os.DirFS(old.Dir())))
	require.NoError(t, os.CopyFS(there, os.DirFS(here)))
	k, local := newKey(t, "one.example"), newKey(t, "local.example")
	s.sign(there, local, 3)

	s.add("new.example/lib", "v1.0.0")
	req := s.request()
	req.Since = old
	deltaDir := filepath.Join(t.TempDir(), "delta")
	s.create(deltaDir, req)
	s.sign(deltaDir, local, 4)
	s.sign(deltaDir, k, 0)
	delta, err := Open(t.Context(), deltaDir, trust(k))
	require.NoError(t, err)
	_, err = Apply(t.Context(), here, delta, trust(k))
	require.ErrorContains(t, err, here+" is not signed", "with a key, nothing unsigned is read")
	_, err = Apply(t.Context(), there, delta, trust(k))
	require.ErrorContains(t, err, there+" is signed by "+local.name())

	for _, dir := range []string{there, here, there} {
		b, err := Apply(t.Context(), dir, delta, Trust{})
		require.NoError(t, err)
		require.Equal(t, []string{k.name()}, signers(t, dir, k))
		_, err = b.Verify(t.Context(), s.set(), "", nil)
		require.NoError(t, err)
	}
	require.Equal(t, read(t, here), read(t, there))

	bare := s.create(filepath.Join(t.TempDir(), "bare"), req)
	require.Empty(t, bare.Images()[SignatureName])
	b, err := Apply(t.Context(), there, bare, Trust{})
	require.NoError(t, err)
	require.Equal(t, []string{k.name()}, signers(t, there, k), "applied again without a signature, a delta doesn't take one away")
	changes, err := Diff(t.Context(), b, b)
	require.NoError(t, err)
	require.Empty(t, changes)

	var index ocispec.Index
	data, err := os.ReadFile(filepath.Join(there, ocispec.ImageIndexFile))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &index))
	require.Len(t, index.Manifests, 3)
	_, err = b.Verify(t.Context(), gomod.Set{}, "", nil)
	require.NoError(t, err)
}

// What is read of a text that was signed is all of it.
func FuzzParseStatement(f *testing.F) {
	good := statement{7, day, digest.FromString("")}.text()
	for _, text := range []string{good, "", good + good, strings.Replace(good, "7", "07", 1), strings.Replace(good, "sha256", "sha512", 1)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseStatement(text); err == nil {
			require.Equal(t, text, s.text())
			require.Positive(t, s.serial)
			require.NoError(t, s.contents.Validate())
		}
	})
}
