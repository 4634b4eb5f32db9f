package verify

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/sumdb/note"
)

// textHead is the first line of the signed text. So a key that signs other notes too, such as those of bundles, can't
// be misused to sign an image.
const textHead = "larder image\n"

// text returns the text that is signed for an image: textHead, and the image's digest.
func text(image digest.Digest) string { return textHead + image.String() + "\n" }

// Sign returns a signature of an image, by the digest of its manifest or index. It is a note in the format of
// golang.org/x/mod/sumdb/note, and is kept in a file of its own.
func Sign(image digest.Digest, signer note.Signer) ([]byte, error) {
	data, err := note.Sign(&note.Note{Text: text(image)}, signer)
	if err != nil {
		return nil, fmt.Errorf("signing %s as %s: %w", image, signer.Name(), err)
	}
	return data, nil
}

// Signers returns the keys, as NAME+HASH, of those verifiers that have signed the image. It returns an error if no
// verifier has.
func Signers(signature []byte, image digest.Digest, verifiers note.Verifiers) ([]string, error) {
	signed, err := note.Open(signature, verifiers)
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		return nil, fmt.Errorf("the signature is by %s, and by none of the keys given: don't use this image unless you trust one of those, and give its public key", strings.Join(keys(unknown.Note.UnverifiedSigs), ", "))
	case errors.As(err, &invalid):
		return nil, fmt.Errorf("the signature by %s+%08x isn't by that key: it was changed; don't use this image", invalid.Name, invalid.Hash)
	case err != nil:
		return nil, fmt.Errorf("the signature can't be read: %w: expected a file that 'larder sign' wrote", err)
	}
	if want := text(image); signed.Text != want {
		return nil, fmt.Errorf("%s signed %q, and this image is %s", strings.Join(keys(signed.Sigs), ", "), strings.TrimSpace(strings.TrimPrefix(signed.Text, textHead)), image)
	}
	return keys(signed.Sigs), nil
}

func keys(sigs []note.Signature) (names []string) {
	for _, s := range sigs {
		names = append(names, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
	}
	return names
}
