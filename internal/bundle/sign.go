package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/mod/sumdb/note"
)

// signatureType is the media type of a bundle's signatures: a note as golang.org/x/mod/sumdb/note has it, with the text
// of Bundle.text.
const signatureType = "application/vnd.larder.bundle.signature.v1"

// textHead is the first line of what is signed, so that a key that signs other notes, too, can't be had to sign a bundle.
const textHead = "larder bundle\n"

// GenerateKey makes an Ed25519 key to sign bundles with: skey, to be kept secret, is for note.NewSigner, and vkey for
// note.NewVerifier. The name tells whose key it is; it has neither spaces nor plus signs.
func GenerateKey(rand io.Reader, name string) (skey, vkey string, err error) {
	if name == "" || !utf8.ValidString(name) || strings.Contains(name, "+") || strings.ContainsFunc(name, unicode.IsSpace) {
		return "", "", fmt.Errorf("a key can't have the name %q: it must have neither spaces nor plus signs, such as builds.example.com", name)
	}
	return note.GenerateKey(rand, name)
}

// Sign adds a signature to the bundle in a folder, or to a delta, whose signature is then that of the bundle that it makes.
// Signatures by other keys stay if they are of the same contents; an earlier one by this key is replaced. What is signed
// are the digests in index.json: Sign doesn't read what they are of, see Verify.
func Sign(ctx context.Context, dir string, signer note.Signer) (*Bundle, error) {
	b, unlock, err := openLocked(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	signed := &note.Note{Text: b.text()}
	if desc, ok := b.Images()[SignatureName]; ok {
		data, err := b.signature(ctx, desc)
		if err != nil {
			return nil, err
		}
		var others *note.UnverifiedNoteError // without keys, none is verified
		if _, err := note.Open(data, nil); errors.As(err, &others) && others.Note.Text == signed.Text {
			signed = others.Note
		}
	}
	data, err := note.Sign(signed, signer)
	if err != nil {
		return nil, fmt.Errorf("signing the bundle %s as %s: %w", dir, signer.Name(), err)
	}
	if err := b.addSignature(ctx, data); err != nil {
		return nil, err
	}
	if err := b.commit(); err != nil {
		return nil, err
	}
	if b.Since() != "" {
		return b, nil // what is used can't be told from the delta alone
	}
	return b, b.collect(ctx)
}

// addSignature makes a note the bundle's signature.
func (b *Bundle) addSignature(ctx context.Context, data []byte) error {
	config, err := b.addBlob(ctx, signatureType, data)
	if err != nil {
		return err
	}
	// The image specification wants an artifact to have a layer, since some registries do.
	empty := ocispec.DescriptorEmptyJSON
	if err := b.writeBlob(ctx, empty, empty.Data); err != nil {
		return err
	}
	empty.Data = nil
	return b.addManifest(ctx, SignatureName, signatureType, config, []ocispec.Descriptor{empty})
}

// signature reads the note of a signature image.
func (b *Bundle) signature(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	var m ocispec.Manifest
	if err := b.readJSON(ctx, desc, &m); err != nil {
		return nil, err
	}
	if m.Config.MediaType != signatureType {
		return nil, fmt.Errorf("%s has a signature of type %s, and this larder reads %s: use a newer larder", b.dir, m.Config.MediaType, signatureType)
	}
	return b.readBlob(ctx, m.Config)
}

// VerifySignature returns the keys, as NAME+HASH, of those verifiers that have signed the bundle as its index.json is. It
// is an error if there is none. It doesn't read what index.json leads to: see Verify.
func (b *Bundle) VerifySignature(ctx context.Context, verifiers note.Verifiers) (signers []string, err error) {
	desc, ok := b.Images()[SignatureName]
	if !ok {
		return nil, fmt.Errorf("%s is not signed: have who made it run 'larder bundle sign'", b.dir)
	}
	data, err := b.signature(ctx, desc)
	if err != nil {
		return nil, err
	}
	signed, err := note.Open(data, verifiers)
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		return nil, fmt.Errorf("%s is signed by %s, and by none of the keys given: don't use this bundle unless you trust one of those, and give its public key", b.dir, strings.Join(keys(unknown.Note.UnverifiedSigs), ", "))
	case errors.As(err, &invalid):
		return nil, fmt.Errorf("%s has a signature by %s that isn't by that key: it was changed since it was signed; don't use this bundle", b.dir, keyName(invalid.Name, invalid.Hash))
	case err != nil:
		return nil, fmt.Errorf("%s has a signature that can't be checked: %w: copy the bundle again, and give each key once", b.dir, err)
	}
	if text := b.text(); signed.Text != text {
		return nil, fmt.Errorf("%s is not what %s signed: %s: it was changed since; don't use this bundle", b.dir, strings.Join(keys(signed.Sigs), ", "), textDifference(signed.Text, text))
	}
	return keys(signed.Sigs), nil
}

func keys(sigs []note.Signature) (names []string) {
	for _, s := range sigs {
		names = append(names, keyName(s.Name, s.Hash))
	}
	return names
}

// keyName names a key as note.NewVerifier has it, without the key itself.
func keyName(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

// text returns what is signed: a line that says so, and one for each image but the signature, of its name, its digest and
// its size in bytes. These lines are sorted.
func (b *Bundle) text() string {
	var lines []string
	for _, desc := range b.index.Manifests {
		if name := refName(desc); name != SignatureName {
			lines = append(lines, fmt.Sprintf("%s %s %d\n", quoteName(name), desc.Digest, desc.Size))
		}
	}
	slices.Sort(lines)
	return textHead + strings.Join(lines, "")
}

// quoteName returns a name as it is if the image specification allows it as one, else as a string of Go in ASCII, so that
// no two lists of images have the same text.
func quoteName(name string) string {
	odd := strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:@/+", r))
	})
	if odd || name == "" {
		return strconv.QuoteToASCII(name)
	}
	return name
}

// textDifference tells the first image that two different texts differ in.
func textDifference(signed, found string) string {
	was, is := strings.Split(signed, "\n"), strings.Split(found, "\n")
	if was[0] != is[0] {
		return fmt.Sprintf("they signed something else, which begins with %q", was[0])
	}
	for _, line := range is {
		if slices.Contains(was, line) {
			continue
		}
		name, rest := cutLine(line)
		for _, old := range was {
			if n, signedRest := cutLine(old); n == name {
				return fmt.Sprintf("its image %s is %s, and %s was signed", name, rest, signedRest)
			}
		}
		return fmt.Sprintf("it has the image %s, which wasn't signed", name)
	}
	for _, line := range was {
		if !slices.Contains(is, line) {
			name, _ := cutLine(line)
			return fmt.Sprintf("it lacks the image %s", name)
		}
	}
	return "the lines that they signed are in another order"
}

// cutLine parts a line of a text after the name, which has spaces only if it is quoted.
func cutLine(line string) (name, rest string) {
	if quoted, err := strconv.QuotedPrefix(line); err == nil {
		return quoted, strings.TrimPrefix(line[len(quoted):], " ")
	}
	name, rest, _ = strings.Cut(line, " ")
	return name, rest
}
