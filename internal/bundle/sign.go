package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/mod/sumdb/note"
)

// signatureType is the media type of a bundle's signatures. Each is a note in the format of golang.org/x/mod/sumdb/note
// whose text is a statement.
const signatureType = "application/vnd.larder.bundle.signature.v1"

// maxSignature is the greatest size of the documents that hold a signature. They are read before anything proves that
// they are genuine.
const maxSignature = 1 << 20

// A statement is the text that is signed.
type statement struct {
	serial   int64         // larger than that of any bundle signed before
	at       time.Time     // of signing, in whole seconds, told and never compared
	contents digest.Digest // see Bundle.contents
}

// statementFormat begins with a line that says what this is. So a key that signs other notes too can't be misused to
// sign a bundle.
const statementFormat = "larder bundle\nserial %d\ntime %s\nindex %s\n"

func (s statement) text() string {
	return fmt.Sprintf(statementFormat, s.serial, s.at.UTC().Format(time.RFC3339), s.contents)
}

// parseStatement reads only the exact form that statement's method text writes.
func parseStatement(text string) (s statement, err error) {
	var at string
	if _, err = fmt.Sscanf(text, statementFormat, &s.serial, &at, (*string)(&s.contents)); err == nil {
		s.at, err = time.Parse(time.RFC3339, at)
	}
	if err == nil {
		err = s.contents.Validate()
	}
	if err != nil || s.serial < 1 || s.text() != text {
		return s, fmt.Errorf("it begins with %.40q", text)
	}
	return s, nil
}

// GenerateKey makes an Ed25519 key to sign bundles with: skey, to be kept secret, is for note.NewSigner, and vkey for
// note.NewVerifier. The name says whose key it is. It has neither spaces nor plus signs.
func GenerateKey(rand io.Reader, name string) (skey, vkey string, err error) {
	if name == "" || !utf8.ValidString(name) || strings.Contains(name, "+") || strings.ContainsFunc(name, unicode.IsSpace) {
		return "", "", fmt.Errorf("a key can't have the name %q: it must have neither spaces nor plus signs, such as builds.example.com", name)
	}
	return note.GenerateKey(rand, name)
}

// A Signing says how to sign a bundle.
type Signing struct {
	Signer note.Signer
	Serial int64     // 0 adds a signature to those that the bundle has
	Time   time.Time // is told by the signature, unless it is added to others
}

// Sign adds a signature to the bundle or delta in a folder. The signature of a delta is valid for the bundle that the
// delta makes. Signatures by other keys stay if they have the same contents and serial; an earlier one by this key is
// replaced. Sign signs index.json and doesn't read the blobs: see Verify.
func Sign(ctx context.Context, dir string, how Signing) (*Bundle, error) {
	b, unlock, err := openLocked(ctx, dir, Trust{})
	if err != nil {
		return nil, err
	}
	defer unlock()
	b.sortImages() // as it will be written: another program may have made it
	signed, err := b.statementToSign(ctx, how)
	if err != nil {
		return nil, err
	}
	data, err := note.Sign(signed, how.Signer)
	if err != nil {
		return nil, fmt.Errorf("signing the bundle %s as %s: %w", dir, how.Signer.Name(), err)
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

// statementToSign returns the note to which a signature is added: the bundle's own note, or a new one without
// signatures.
func (b *Bundle) statementToSign(ctx context.Context, how Signing) (*note.Note, error) {
	said, ok := b.said(ctx)
	ok = ok && said.contents == b.contents()
	switch {
	case !ok && how.Serial < 1:
		return nil, fmt.Errorf("signing %s: it has no signature yet that one can be added to: give --serial, a number that is larger than that of any bundle that was signed before, such as that of the CI run", b.dir)
	case ok && how.Serial > 0 && how.Serial < said.serial:
		return nil, fmt.Errorf("signing %s: --serial %d: it is signed with the serial %d already, at %s, and what has a lower one is refused as older", b.dir, how.Serial, said.serial, said.at.Format(time.RFC3339))
	case !ok || how.Serial > said.serial:
		text := statement{how.Serial, how.Time, b.contents()}.text()
		if _, err := parseStatement(text); err != nil {
			return nil, fmt.Errorf("signing %s at %s: no signature can have this time: see SOURCE_DATE_EPOCH", b.dir, how.Time)
		}
		return &note.Note{Text: text}, nil
	}
	data, err := b.signature(ctx, b.Images()[SignatureName])
	if err != nil {
		return nil, err
	}
	var others *note.UnverifiedNoteError // without keys, none is verified
	if _, err := note.Open(data, nil); !errors.As(err, &others) {
		return nil, err
	}
	return others.Note, nil
}

// addSignature stores a note as the bundle's signature.
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
	if desc.Size <= maxSignature {
		if err := b.readJSON(ctx, desc, &m); err != nil {
			return nil, err
		}
	}
	if desc.Size > maxSignature || m.Config.Size > maxSignature {
		return nil, fmt.Errorf("%s has a signature of over %d bytes: don't use this bundle", b.dir, maxSignature)
	}
	if m.Config.MediaType != signatureType {
		return nil, fmt.Errorf("%s has a signature of type %s, and this larder reads %s: use a newer larder", b.dir, m.Config.MediaType, signatureType)
	}
	return b.readBlob(ctx, m.Config)
}

func keys(sigs []note.Signature) (names []string) {
	for _, s := range sigs {
		names = append(names, keyName(s.Name, s.Hash))
	}
	return names
}

// keyName returns the name and hash of a key, in the form of note.NewVerifier, without the key itself.
func keyName(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }
