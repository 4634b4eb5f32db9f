package sigstore

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// fake is a repository that anybody can write to.
type fake struct {
	blobs     map[digest.Digest][]byte
	manifests map[string]ocispec.Descriptor // by tag or digest
	referrers []ocispec.Descriptor          // of whatever is asked for
}

func newFake() *fake { return &fake{map[digest.Digest][]byte{}, map[string]ocispec.Descriptor{}, nil} }

func (f *fake) Name() string { return "registry.example.com/app" }

func (f *fake) Manifest(_ context.Context, name string) (ocispec.Descriptor, []byte, error) {
	desc, ok := f.manifests[name]
	if !ok {
		return desc, nil, fmt.Errorf("%s: %w", name, errdefs.ErrNotFound)
	}
	return desc, f.blobs[desc.Digest], nil
}

func (f *fake) Blob(_ context.Context, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if desc.Size > limit {
		return nil, fmt.Errorf("%d bytes: expected at most %d", desc.Size, limit)
	}
	data, ok := f.blobs[desc.Digest]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	return data, nil
}

func (f *fake) Referrers(context.Context, digest.Digest) ([]ocispec.Descriptor, error) {
	return f.referrers, nil
}

func (f *fake) PushBytes(_ context.Context, mediaType string, data []byte, tag string) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	f.blobs[desc.Digest] = data
	f.manifests[desc.Digest.String()] = desc
	if tag != "" {
		f.manifests[tag] = desc
	}
	return desc, nil
}

func (f *fake) Refer(ctx context.Context, m ocispec.Manifest) (ocispec.Descriptor, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := f.PushBytes(ctx, ocispec.MediaTypeImageManifest, data, "")
	desc.ArtifactType = m.ArtifactType
	f.referrers = append(f.referrers, desc)
	return desc, err
}

func encoded(t *testing.T, kind string, der []byte, err error) []byte {
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// newSigner makes a key as its file has it.
func newSigner(t *testing.T, kind string) Signer {
	var secret any
	var err error
	switch kind {
	case "ecdsa":
		secret, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ed25519":
		_, secret, err = ed25519.GenerateKey(rand.Reader)
	}
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	s, err := ParseSigner(encoded(t, "PRIVATE KEY", der, err))
	require.NoError(t, err)
	return s
}

var image = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString("image"), Size: 5}

// What is attached is found by its key, in both formats, once; and a second key's signatures stand beside.
func TestAttachAndFind(t *testing.T) {
	for _, kind := range []string{"ecdsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			f, first, second := newFake(), newSigner(t, kind), newSigner(t, "ecdsa")
			for _, s := range []Signer{first, first, second} {
				data, err := Sign(image.Digest, s)
				require.NoError(t, err)
				_, err = Attach(t.Context(), f, image, data, s)
				require.NoError(t, err)
			}
			require.Len(t, f.referrers, 2)
			for _, s := range []Signer{first, second} {
				found, err := Find(t.Context(), f, image.Digest, []Key{s.Key})
				require.NoError(t, err)
				require.Len(t, found, 2)
				require.Equal(t, Signature{s.Key, "", found[0].Manifest}, found[0])
				require.Contains(t, f.manifests, found[0].Manifest)
				require.Equal(t, Signature{s.Key, f.Name(), Tag(image.Digest)}, found[1])
			}
			_, err := Find(t.Context(), f, image.Digest, []Key{newSigner(t, kind).Key})
			require.ErrorContains(t, err, "isn't signed by a key given: don't use this image: bundle sha256:")
			require.ErrorContains(t, err, "it is by none of the keys given; ")
		})
	}
	_, err := Find(t.Context(), newFake(), image.Digest, nil)
	require.ErrorContains(t, err, "no signature is attached to sha256:")
}

// Whoever can write to a repository can't make one image pass for another.
func TestForgeries(t *testing.T) {
	key := newSigner(t, "ecdsa")
	other := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString("other"), Size: 5}
	ctx := t.Context()
	attach := func(f *fake, of ocispec.Descriptor) {
		data, err := Sign(of.Digest, key)
		require.NoError(t, err)
		_, err = Attach(ctx, f, of, data, key)
		require.NoError(t, err)
	}
	// bundled attaches whatever is signed, as if it were of the image.
	bundled := func(f *fake, kind string, edit func(*statement)) {
		s := statement{Type: statementType, Subject: []subject{{map[string]string{"sha256": image.Digest.Encoded()}}}, PredicateType: signPredicate, Predicate: json.RawMessage("{}")}
		edit(&s)
		payload, err := json.Marshal(s)
		require.NoError(t, err)
		e := &envelope{Payload: payload, PayloadType: kind}
		sig, err := key.sign(e.message())
		require.NoError(t, err)
		e.Signatures = []signature{{sig}}
		data, err := json.Marshal(bundle{MediaType, verificationMaterial{}, e})
		require.NoError(t, err)
		require.NoError(t, Refer(ctx, f, image, data, signPredicate))
	}
	pushBundle := func(f *fake, data string) { require.NoError(t, Refer(ctx, f, image, []byte(data), signPredicate)) }
	tagged := func(f *fake, payload, signature string) {
		layer, err := f.PushBytes(ctx, simpleMediaType, []byte(payload), "")
		require.NoError(t, err)
		layer.Annotations = map[string]string{simpleAnnotation: signature}
		data, err := json.Marshal(ocispec.Manifest{Layers: []ocispec.Descriptor{layer}})
		require.NoError(t, err)
		_, err = f.PushBytes(ctx, ocispec.MediaTypeImageManifest, data, Tag(image.Digest))
		require.NoError(t, err)
	}
	for name, tt := range map[string]struct {
		forge func(f *fake)
		want  string
	}{
		"a referrer of another image": {func(f *fake) { attach(f, other) }, "it refers to another image than " + image.Digest.String()},
		"a bundle of another image": {func(f *fake) {
			data, err := Sign(other.Digest, key)
			require.NoError(t, err)
			require.NoError(t, Refer(ctx, f, image, data, signPredicate))
		}, "it is of another image than " + image.Digest.String()},
		"another image's tag": {func(f *fake) {
			attach(f, other)
			f.referrers = nil
			f.manifests[Tag(image.Digest)] = f.manifests[Tag(other.Digest)]
		}, "it is of another image than " + image.Digest.String()},
		"an attestation": {func(f *fake) {
			bundled(f, payloadType, func(s *statement) { s.PredicateType = "https://openvex.dev/ns" })
		}, `an attestation of the type "https://openvex.dev/ns", and not the image`},
		"two subjects": {func(f *fake) {
			bundled(f, payloadType, func(s *statement) {
				s.Subject = append(s.Subject, subject{map[string]string{"sha256": other.Digest.Encoded()}})
			})
		}, "it is of another image"},
		"another digest's algorithm": {func(f *fake) {
			bundled(f, payloadType, func(s *statement) { s.Subject[0].Digest = map[string]string{"sha512": image.Digest.Encoded()} })
		}, "it is of another image"},
		"another payload type": {func(f *fake) { bundled(f, "text/plain", func(*statement) {}) }, `of the type "text/plain"`},
		"signed otherwise, then changed": {func(f *fake) {
			data, err := Sign(other.Digest, key)
			require.NoError(t, err)
			var b bundle
			require.NoError(t, json.Unmarshal(data, &b))
			b.DSSEEnvelope.Payload = bytes.Replace(b.DSSEEnvelope.Payload, []byte(other.Digest.Encoded()), []byte(image.Digest.Encoded()), 1)
			data, err = json.Marshal(b)
			require.NoError(t, err)
			pushBundle(f, string(data))
		}, "it is by none of the keys given"},
		"no bundle":        {func(f *fake) { pushBundle(f, "[]") }, "it is no Sigstore bundle"},
		"no signature":     {func(f *fake) { pushBundle(f, `{"mediaType":"`+MediaType+`","dsseEnvelope":{"signatures":[]}}`) }, "no envelope with one signature"},
		"no envelope":      {func(f *fake) { pushBundle(f, `{"mediaType":"`+MediaType+`"}`) }, "no envelope with one signature"},
		"another format":   {func(f *fake) { pushBundle(f, `{"mediaType":"text/html"}`) }, `it calls itself "text/html"`},
		"a giant bundle":   {func(f *fake) { pushBundle(f, "{"+strings.Repeat(" ", maxBundle)+"}") }, "expected at most 1048576"},
		"a giant payload":  {func(f *fake) { tagged(f, strings.Repeat(" ", maxBundle+1), "") }, "expected at most 1048576"},
		"no base64":        {func(f *fake) { tagged(f, "{}", "!") }, "illegal base64"},
		"a missing blob":   {func(f *fake) { attach(f, image); clear(f.blobs); f.referrers = f.referrers[:1] }, ""},
		"a digest of none": {func(f *fake) { f.referrers = []ocispec.Descriptor{{ArtifactType: MediaType, Digest: "../../x"}} }, "invalid"},
		"a simple signature of nothing": {func(f *fake) {
			sig, err := key.sign([]byte("{}"))
			require.NoError(t, err)
			tagged(f, "{}", base64.StdEncoding.EncodeToString(sig))
		}, `of the type ""`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			tt.forge(f)
			found, err := Find(ctx, f, image.Digest, []Key{key.Key})
			require.Error(t, err)
			require.Empty(t, found)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	t.Run("one of many", func(t *testing.T) { // what is wrong beside a good signature takes nothing from it
		f := newFake()
		pushBundle(f, "[]")
		attach(f, other)
		attach(f, image)
		found, err := Find(ctx, f, image.Digest, []Key{key.Key})
		require.NoError(t, err)
		require.Len(t, found, 2)
	})
	t.Run("too many", func(t *testing.T) {
		f := newFake()
		layers := make([]ocispec.Descriptor, maxSignatures+1)
		data, err := json.Marshal(ocispec.Manifest{Layers: layers})
		require.NoError(t, err)
		_, err = f.PushBytes(ctx, ocispec.MediaTypeImageManifest, data, Tag(image.Digest))
		require.NoError(t, err)
		_, err = Find(ctx, f, image.Digest, []Key{key.Key})
		require.ErrorContains(t, err, "has 201 signatures: expected at most 200")
	})
}

// An image that was copied with its signature is signed as what it was.
func TestAnotherReference(t *testing.T) {
	key := newSigner(t, "ed25519")
	payload, signature, err := signSimple("elsewhere.example.com/x", image.Digest, key)
	require.NoError(t, err)
	got, repository, err := verifySimple(payload, signature, image.Digest, []Key{key.Key})
	require.NoError(t, err)
	require.Equal(t, key.Key, got)
	require.Equal(t, "elsewhere.example.com/x", repository)
}

func TestKeys(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public := func(k any) []byte {
		der, err := x509.MarshalPKIXPublicKey(k)
		return encoded(t, "PUBLIC KEY", der, err)
	}
	certificate := func(from, to time.Time) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &p256.PublicKey, p256)
		return encoded(t, "CERTIFICATE", der, err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	secret := encoded(t, "EC PRIVATE KEY", sec1, err)
	s, err := ParseSigner(secret)
	require.NoError(t, err)
	for _, data := range [][]byte{public(&p256.PublicKey), certificate(now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0))} {
		k, err := ParseKey(data, now)
		require.NoError(t, err)
		require.Equal(t, s.Key, k)
	}
	for want, data := range map[string][]byte{
		"the certificate is valid from 2024-01-02 to 2025-01-02, and not at 2026-01-02": certificate(now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0)),
		"the certificate is valid from 2027-01-02 to 2028-01-02, and not at 2026-01-02": certificate(now.AddDate(1, 0, 0), now.AddDate(2, 0, 0)),
		"ECDSA on P-384: expected P-256":                                                public(&p384.PublicKey),
		"a key of the type *rsa.PublicKey":                                              public(&rsaKey.PublicKey),
		`it is called "EC PRIVATE KEY": expected PUBLIC KEY or CERTIFICATE`:             secret,
		"it has no PEM": []byte("x"),
		"more than one": append(public(&p256.PublicKey), public(&p256.PublicKey)...),
	} {
		_, err := ParseKey(data, now)
		require.ErrorContains(t, err, want)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	for want, data := range map[string][]byte{
		`it is called "ENCRYPTED SIGSTORE PRIVATE KEY": expected PRIVATE KEY or EC PRIVATE KEY, without encryption`: encoded(t, "ENCRYPTED SIGSTORE PRIVATE KEY", nil, nil),
		"a key of the type *rsa.PublicKey": encoded(t, "PRIVATE KEY", rsaDER, err),
		"it has no PEM":                    nil,
		"asn1":                             encoded(t, "PRIVATE KEY", []byte("x"), nil),
	} {
		_, err := ParseSigner(data)
		require.ErrorContains(t, err, want)
	}
}

// FuzzVerify has whatever there is taken for a bundle and for a payload: without the key nothing is signed.
func FuzzVerify(f *testing.F) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	key, keyErr := newKey(public)
	require.NoError(f, errors.Join(err, keyErr))
	f.Add([]byte(`{"mediaType":"`+MediaType+`","dsseEnvelope":{"payload":"e30=","payloadType":"`+payloadType+`","signatures":[{"sig":"AAAA"}]}}`), "AAAA")
	f.Add([]byte(`{"critical":{"type":"cosign container image signature"}}`), "")
	f.Fuzz(func(t *testing.T, data []byte, signature string) {
		_, err := Verify(data, image.Digest, []Key{key})
		require.Error(t, err)
		_, _, err = verifySimple(data, signature, image.Digest, []Key{key})
		require.Error(t, err)
	})
}
