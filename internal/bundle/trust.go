package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A Trust says which bundles may be read. The zero value takes any.
type Trust struct {
	Keys      []note.Verifier // one of them must have signed the bundle; none asks for no signature
	MinSerial int64           // that the signature must have at least
	// AllowOlder lets Apply and Pull replace a bundle whose signature has a higher serial.
	AllowOlder bool
}

// Signed is the content of a signature that was checked.
type Signed struct {
	By     []string  `json:"by"` // the keys, as NAME+HASH, of those that were asked for
	Serial int64     `json:"serial"`
	Time   time.Time `json:"time"`
}

// Signed returns the content of the bundle's signature if the bundle was opened by a Trust with keys, otherwise nil.
func (b *Bundle) Signed() *Signed { return b.signed }

// admit checks the signature of a bundle. So far only the bundle's index was read; its bytes are given.
func (t Trust) admit(ctx context.Context, b *Bundle, index []byte) error {
	if len(t.Keys) == 0 {
		if t.MinSerial > 0 {
			return fmt.Errorf("%s: a serial number is worth nothing without a key that vouches for it: give the key, too", b.dir)
		}
		return nil
	}
	// What another program could read in it otherwise would be signed by nobody.
	if exact, err := json.Marshal(b.index); err != nil || !bytes.Equal(exact, index) {
		return errors.Join(err, fmt.Errorf("%s has an index.json that isn't written as docs/reference/bundle-format.md has it, and so a signature can't cover all of it: don't use this bundle", b.dir))
	}
	desc, ok := b.Images()[SignatureName]
	if !ok {
		return fmt.Errorf("%s is not signed: have who made it run 'larder bundle sign'", b.dir)
	}
	data, err := b.signature(ctx, desc)
	if err != nil {
		return err
	}
	signed, err := note.Open(data, note.VerifierList(t.Keys...))
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s is signed by %s, and by none of the keys given: don't use this bundle unless you trust one of those, and give its public key", b.dir, strings.Join(keys(unknown.Note.UnverifiedSigs), ", "))
	case errors.As(err, &invalid):
		return fmt.Errorf("%s has a signature by %s that isn't by that key: it was changed since it was signed; don't use this bundle", b.dir, keyName(invalid.Name, invalid.Hash))
	case err != nil:
		return fmt.Errorf("%s has a signature that can't be checked: %w: copy the bundle again, and give each key once", b.dir, err)
	}
	by := strings.Join(keys(signed.Sigs), ", ")
	said, err := parseStatement(signed.Text)
	if err != nil {
		return fmt.Errorf("%s: what %s signed is no bundle: %w: don't use this bundle", b.dir, by, err)
	}
	if is := b.contents(); said.contents != is {
		return fmt.Errorf("%s is not what %s signed: it is the bundle %s, and %s was signed: it was changed since; don't use this bundle", b.dir, by, is, said.contents)
	}
	if said.serial < t.MinSerial {
		return fmt.Errorf("%s was signed with the serial %d, at %s, and %d is the least that is asked for: it is an older bundle; get the newer one", b.dir, said.serial, said.at.Format(time.RFC3339), t.MinSerial)
	}
	b.signed = &Signed{By: keys(signed.Sigs), Serial: said.serial, Time: said.at}
	return nil
}

// said returns the statement in a bundle's signature, without checking the signature. It returns false if there is none
// that can be read.
func (b *Bundle) said(ctx context.Context) (statement, bool) {
	if b.signed != nil {
		return statement{b.signed.Serial, b.signed.Time, b.contents()}, true
	}
	desc, ok := b.Images()[SignatureName]
	if !ok {
		return statement{}, false
	}
	data, err := b.signature(ctx, desc)
	if err != nil {
		return statement{}, false
	}
	var others *note.UnverifiedNoteError // without keys, none is verified
	if _, err := note.Open(data, nil); !errors.As(err, &others) {
		return statement{}, false
	}
	s, err := parseStatement(others.Note.Text)
	return s, err == nil
}

// Replace refuses a bundle, next, that would replace one with a higher serial in its signature. It also refuses one
// with the same serial and other contents, because no two bundles may share a serial. A bundle without a signature has
// no serial. The name is that of next, for messages.
func (t Trust) Replace(ctx context.Context, old, next *Bundle, name string) error {
	was, ok := old.said(ctx)
	if !ok || t.AllowOlder {
		return nil
	}
	is, ok := next.said(ctx)
	if !ok || is.serial > was.serial || is.serial == was.serial && is.contents == was.contents {
		return nil
	}
	return fmt.Errorf("%s was signed with the serial %d, at %s, and %s, which would take its place, with %d, at %s: refusing to go back; if that is meant, have it signed anew with a higher serial, or give --allow-older to 'larder bundle apply' or 'pull'",
		old.dir, was.serial, was.at.Format(time.RFC3339), name, is.serial, is.at.Format(time.RFC3339))
}
