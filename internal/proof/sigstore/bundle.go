// Package sigstore signs images, and checks their signatures, in the formats that cosign and policy engines read, with a key
// and without a network: a Sigstore bundle (https://github.com/sigstore/protobuf-specs, bundle/v1) that refers to the image,
// as cosign has it since its third version, and cosign's older one beside it
// (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md). Whoever can write to the repository can attach
// anything: all of it is untrusted but for what a key has signed.
package sigstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// MediaType is that of a bundle, and the artifact type of a manifest that has one.
const MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

const (
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	// signPredicate is the type of a statement that is a signature, and no attestation.
	signPredicate = "https://sigstore.dev/cosign/sign/v1"
)

// The parts of a bundle that are used here, as their JSON is named.
type (
	bundle struct {
		MediaType            string               `json:"mediaType"`
		VerificationMaterial verificationMaterial `json:"verificationMaterial"`
		DSSEEnvelope         *envelope            `json:"dsseEnvelope"`
	}
	verificationMaterial struct {
		PublicKey *publicKey `json:"publicKey"`
	}
	publicKey struct {
		Hint string `json:"hint"`
	}
	// envelope is that of https://github.com/secure-systems-lab/dsse.
	envelope struct {
		Payload     []byte      `json:"payload"`
		PayloadType string      `json:"payloadType"`
		Signatures  []signature `json:"signatures"`
	}
	signature struct {
		Sig []byte `json:"sig"`
	}
	// statement is that of https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md.
	statement struct {
		Type          string          `json:"_type"`
		Subject       []subject       `json:"subject"`
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}
	subject struct {
		Digest map[string]string `json:"digest"`
	}
)

// message is what is signed of an envelope.
func (e *envelope) message() []byte {
	head := "DSSEv1 " + strconv.Itoa(len(e.PayloadType)) + " " + e.PayloadType + " " + strconv.Itoa(len(e.Payload)) + " "
	return append([]byte(head), e.Payload...)
}

// Sign returns a bundle that says that an image, by the digest of its manifest or index, is signed.
func Sign(image digest.Digest, by Signer) ([]byte, error) {
	return Attest(image, signPredicate, json.RawMessage("{}"), by)
}

// Attest returns a bundle that says something of an image: the predicate, which is JSON of a type.
func Attest(image digest.Digest, predicateType string, predicate json.RawMessage, by Signer) ([]byte, error) {
	payload, err := json.Marshal(statement{
		Type: statementType, Subject: []subject{{map[string]string{image.Algorithm().String(): image.Encoded()}}},
		PredicateType: predicateType, Predicate: predicate,
	})
	if err != nil {
		return nil, err
	}
	e := &envelope{Payload: payload, PayloadType: payloadType}
	sig, err := by.sign(e.message())
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", image, err)
	}
	e.Signatures = []signature{{sig}}
	return json.Marshal(bundle{MediaType, verificationMaterial{&publicKey{by.hint()}}, e})
}

// Verify returns the one of the keys whose signature of an image a bundle has. An error says why it has none.
func Verify(data []byte, image digest.Digest, keys []Key) (Key, error) {
	var b bundle
	if err := json.Unmarshal(data, &b); err != nil {
		return Key{}, fmt.Errorf("it is no Sigstore bundle: %w", err)
	}
	if b.MediaType != MediaType {
		return Key{}, fmt.Errorf("it calls itself %.100q: expected a bundle that is %s", b.MediaType, MediaType)
	}
	if b.DSSEEnvelope == nil || len(b.DSSEEnvelope.Signatures) != 1 {
		return Key{}, errors.New("it has no envelope with one signature")
	}
	key, err := by(keys, b.DSSEEnvelope.message(), b.DSSEEnvelope.Signatures[0].Sig)
	if err != nil {
		return Key{}, err
	}
	return key, b.DSSEEnvelope.signs(image)
}

// signs checks what is said, by whomever, in an envelope.
func (e *envelope) signs(image digest.Digest) error {
	if e.PayloadType != payloadType {
		return fmt.Errorf("what is signed is of the type %.100q: expected %s", e.PayloadType, payloadType)
	}
	var s statement
	if err := json.Unmarshal(e.Payload, &s); err != nil {
		return fmt.Errorf("what is signed is no statement: %w", err)
	}
	if s.Type != statementType || s.PredicateType != signPredicate {
		return fmt.Errorf("what is signed is an attestation of the type %.100q, and not the image: expected %s", s.PredicateType, signPredicate)
	}
	if len(s.Subject) != 1 || s.Subject[0].Digest[image.Algorithm().String()] != image.Encoded() {
		return fmt.Errorf("it is of another image than %s", image)
	}
	return nil
}
