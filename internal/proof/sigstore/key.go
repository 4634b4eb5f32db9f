package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// A Key checks signatures.
type Key struct {
	public crypto.PublicKey
	der    []byte // as a SubjectPublicKeyInfo
}

// A Signer makes signatures, which its Key checks.
type Signer struct {
	Key
	secret crypto.Signer
}

// ParseKey reads a public key in PEM, or an X.509 certificate that is valid at a time. Of a certificate nothing but its key
// and its time counts: who trusts the file trusts the key.
func ParseKey(data []byte, now time.Time) (Key, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return Key{}, errors.New("it has no PEM: expected a file that begins with -----BEGIN PUBLIC KEY-----")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return Key{}, errors.New("it has more than one key or certificate: expected one")
	}
	switch block.Type {
	case "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return Key{}, err
		}
		return newKey(public)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Key{}, err
		}
		if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			return Key{}, fmt.Errorf("the certificate is valid from %s to %s, and not at %s: get a new one, or give the public key alone if you trust it for as long as you like",
				cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.DateOnly), now.UTC().Format(time.DateOnly))
		}
		return newKey(cert.PublicKey)
	}
	return Key{}, fmt.Errorf("it is called %q: expected PUBLIC KEY or CERTIFICATE", block.Type)
}

// ParseSigner reads a secret key in PEM that isn't encrypted.
func ParseSigner(data []byte) (Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return Signer{}, errors.New("it has no PEM: expected a file that begins with -----BEGIN PRIVATE KEY-----")
	}
	var secret any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		secret, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		secret, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return Signer{}, fmt.Errorf("it is called %q: expected PRIVATE KEY or EC PRIVATE KEY, without encryption", block.Type)
	}
	if err != nil {
		return Signer{}, err
	}
	s, ok := secret.(crypto.Signer)
	if !ok {
		return Signer{}, fmt.Errorf("it is a key of the type %T: expected one of ECDSA on P-256, or of ed25519", secret)
	}
	key, err := newKey(s.Public())
	return Signer{key, s}, err
}

// newKey takes the kinds of keys that all readers of Sigstore's formats take without being told which they are.
func newKey(public crypto.PublicKey) (Key, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("it is a key of ECDSA on %s: expected P-256, or a key of ed25519", k.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return Key{}, fmt.Errorf("it is a key of the type %T: expected one of ECDSA on P-256, or of ed25519", public)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	return Key{public, der}, err
}

// String names the key by its SHA-256.
func (k Key) String() string { return fmt.Sprintf("sha256:%x", sha256.Sum256(k.der)) }

// hint is what a bundle names a key by, so that a reader with several finds the right one.
func (k Key) hint() string {
	sum := sha256.Sum256(k.der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// sign signs a message: with ECDSA its SHA-256.
func (s Signer) sign(message []byte) ([]byte, error) {
	if _, ok := s.public.(ed25519.PublicKey); ok {
		return s.secret.Sign(rand.Reader, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return s.secret.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// signed reports whether a signature is by the key, of a message.
func (k Key) signed(message, signature []byte) bool {
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(public, message, signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(public, sum[:], signature)
	}
	return false
}

// by returns the one of the keys that has signed a message.
func by(keys []Key, message, signature []byte) (Key, error) {
	for _, k := range keys {
		if k.signed(message, signature) {
			return k, nil
		}
	}
	return Key{}, errForeign
}

var errForeign = errors.New("it is by none of the keys given")
