package bundle

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/gomod"
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

// name is what VerifySignature calls the key.
func (k key) name() string { return keyName(k.Name(), k.KeyHash()) }

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
	_, err := b.VerifySignature(t.Context(), note.VerifierList(one.verifier))
	require.ErrorContains(t, err, dir+" is not signed")

	b, err = Sign(t.Context(), dir, one)
	require.NoError(t, err)
	require.Equal(t, before, b.Digest(), "a signature leaves the digest as it is")
	signed := read(t, dir)
	_, err = Sign(t.Context(), dir, one)
	require.NoError(t, err)
	require.Equal(t, signed, read(t, dir), "signed twice by one key, it has one signature")
	b, err = Sign(t.Context(), dir, two)
	require.NoError(t, err)
	got, err := b.VerifySignature(t.Context(), note.VerifierList(one.verifier, two.verifier, other.verifier))
	require.NoError(t, err)
	require.Equal(t, []string{one.name(), two.name()}, got)
	got, err = b.VerifySignature(t.Context(), note.VerifierList(two.verifier))
	require.NoError(t, err)
	require.Equal(t, []string{two.name()}, got)
	for _, verifiers := range []note.Verifiers{note.VerifierList(other.verifier), note.VerifierList(), nil} {
		_, err = b.VerifySignature(t.Context(), verifiers)
		require.ErrorContains(t, err, "is signed by "+one.name()+", "+two.name()+", and by none of the keys given")
	}

	verified, err := b.Verify(t.Context(), s.set(), "")
	require.NoError(t, err)
	require.Equal(t, 5, verified.Modules)
	require.Zero(t, verified.Images)
	items, err := b.Items(t.Context())
	require.NoError(t, err)
	require.Len(t, items, 5)
	require.Len(t, read(t, dir), len(signed), "what earlier signatures were in is gone")

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

// The text is what others' programs are to make as well: see docs/bundle-format.md.
func TestSignedText(t *testing.T) {
	b := &Bundle{}
	for _, name := range []string{SignatureName, ModulesName, "docker.io/library/alpine:3.22", "a b", "ü", "x sha256:0 5\nmodules", ""} {
		b.setImage(name, ocispec.Descriptor{Digest: digest.FromString(name), Size: int64(len(name))})
	}
	require.Equal(t, `larder bundle
"" `+digest.FromString("").String()+` 0
"\u00fc" `+digest.FromString("ü").String()+` 2
"a b" `+digest.FromString("a b").String()+` 3
"x sha256:0 5\nmodules" `+digest.FromString("x sha256:0 5\nmodules").String()+` 20
docker.io/library/alpine:3.22 `+digest.FromString("docker.io/library/alpine:3.22").String()+` 29
modules `+digest.FromString("modules").String()+` 7
`, b.text())
}

// What is changed after it was signed is told, by the image.
func TestSignatureOfOtherContents(t *testing.T) {
	s := newStock(t, 3)
	dir := filepath.Join(t.TempDir(), "bundle")
	s.create(dir, s.request())
	k := newKey(t, "one.example")
	_, err := Sign(t.Context(), dir, k)
	require.NoError(t, err)
	index := filepath.Join(dir, ocispec.ImageIndexFile)
	data, err := os.ReadFile(index)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		change func(*Bundle)
		want   string
	}{
		"other":   {func(b *Bundle) { b.setImage(ModulesName, b.Images()[ManifestName]) }, "its image modules is sha256:"},
		"more":    {func(b *Bundle) { b.setImage("a b", b.Images()[ManifestName]) }, `it has the image "a b", which wasn't signed`},
		"fewer":   {func(b *Bundle) { b.removeImage(ModulesName) }, "it lacks the image modules"},
		"strange": {func(b *Bundle) { require.NoError(t, b.addSignature(t.Context(), signText(t, k, "other thing\n"))) }, `they signed something else, which begins with "other thing"`},
	} {
		b, err := Open(dir)
		require.NoError(t, err)
		tt.change(b)
		_, err = b.VerifySignature(t.Context(), note.VerifierList(k.verifier))
		require.ErrorContains(t, err, tt.want, name)
		require.ErrorContains(t, err, "is not what "+k.name()+" signed", name)
		require.ErrorContains(t, err, "don't use this bundle", name)

		// Who signs it all the same signs alone.
		require.NoError(t, b.commit())
		after := newKey(t, "two.example")
		b, err = Sign(t.Context(), dir, after)
		require.NoError(t, err)
		got, err := b.VerifySignature(t.Context(), note.VerifierList(k.verifier, after.verifier))
		require.NoError(t, err)
		require.Equal(t, []string{after.name()}, got, name)
		s.create(dir, s.request())
		_, err = Sign(t.Context(), dir, k)
		require.NoError(t, err)
		again, err := os.ReadFile(index)
		require.NoError(t, err)
		require.Equal(t, string(data), string(again))
	}
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
	data := string(signText(t, k, b.text()))
	raw, err := base64.StdEncoding.DecodeString(signatureOf(signText(t, other, b.text())))
	require.NoError(t, err)
	copy(raw, binary.BigEndian.AppendUint32(nil, k.KeyHash()))
	forged := strings.Replace(data, signatureOf([]byte(data)), base64.StdEncoding.EncodeToString(raw), 1)
	for name, tt := range map[string]struct{ note, want string }{
		"no note":     {"nonsense", "has a signature that can't be checked: malformed note"},
		"empty":       {"", "has a signature that can't be checked: malformed note"},
		"other bytes": {strings.Replace(data, textHead, "larder bundel\n", 1), "has a signature by " + k.name() + " that isn't by that key"},
		"forged":      {forged, "has a signature by " + k.name() + " that isn't by that key"},
	} {
		require.NoError(t, b.addSignature(t.Context(), []byte(tt.note)), name)
		_, err := b.VerifySignature(t.Context(), note.VerifierList(k.verifier))
		require.ErrorContains(t, err, tt.want, name)
		require.NoError(t, b.commit())
		signed, err := Sign(t.Context(), dir, k)
		require.NoError(t, err, name)
		_, err = signed.VerifySignature(t.Context(), note.VerifierList(k.verifier))
		require.NoError(t, err, name)
	}

	require.NoError(t, b.addManifest(t.Context(), SignatureName, "text/plain", ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromString("")}, []ocispec.Descriptor{}))
	_, err = b.VerifySignature(t.Context(), note.VerifierList(k.verifier))
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
	_, err := Sign(t.Context(), there, local)
	require.NoError(t, err)

	s.add("new.example/lib", "v1.0.0")
	req := s.request()
	req.Since = old
	deltaDir := filepath.Join(t.TempDir(), "delta")
	s.create(deltaDir, req)
	_, err = Sign(t.Context(), deltaDir, local)
	require.NoError(t, err)
	delta, err := Sign(t.Context(), deltaDir, k)
	require.NoError(t, err)
	_, err = delta.VerifySignature(t.Context(), note.VerifierList(k.verifier))
	require.NoError(t, err)

	for _, dir := range []string{there, here, there} {
		b, err := Apply(t.Context(), dir, delta)
		require.NoError(t, err)
		_, err = b.VerifySignature(t.Context(), note.VerifierList(k.verifier))
		require.NoError(t, err)
		_, err = b.Verify(t.Context(), s.set(), "")
		require.NoError(t, err)
	}
	require.Equal(t, read(t, here), read(t, there))

	bare := s.create(filepath.Join(t.TempDir(), "bare"), req)
	require.Empty(t, bare.Images()[SignatureName])
	b, err := Apply(t.Context(), there, bare)
	require.NoError(t, err)
	_, err = b.VerifySignature(t.Context(), note.VerifierList(k.verifier))
	require.NoError(t, err, "applied again without a signature, a delta doesn't take one away")
	changes, err := Diff(t.Context(), b, b)
	require.NoError(t, err)
	require.Empty(t, changes)

	var index ocispec.Index
	data, err := os.ReadFile(filepath.Join(there, ocispec.ImageIndexFile))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &index))
	require.Len(t, index.Manifests, 3)
	_, err = b.Verify(t.Context(), gomod.Set{}, "")
	require.NoError(t, err)
}

// Whatever images are called, no two lists of them are signed as one text.
func FuzzQuoteName(f *testing.F) {
	for _, name := range []string{"", "modules", "docker.io/library/alpine:3.22", "a b", `"a"`, "a sha256:0 1\nb", "\xff", "\ufffd", `\`, "ü"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		quoted := quoteName(name)
		require.NotContains(t, quoted, "\n")
		got, rest := cutLine(quoted + " sha256:00 5")
		require.Equal(t, quoted, got)
		require.Equal(t, "sha256:00 5", rest)
		if quoted != name {
			back, err := strconv.Unquote(quoted)
			require.NoError(t, err)
			require.Equal(t, name, back)
		}
	})
}
