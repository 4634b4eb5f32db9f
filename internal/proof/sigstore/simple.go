package sigstore

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
)

const (
	simpleMediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	simpleType      = "cosign container image signature"
	// simpleAnnotation of a layer has the signature of it.
	simpleAnnotation = "dev.cosignproject.cosign/signature"
)

// simple is what is signed in cosign's older format.
type simple struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest digest.Digest `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

// signSimple returns a payload that names an image in a repository, and its signature as an annotation has it.
func signSimple(repository string, image digest.Digest, by Signer) (payload []byte, signature string, err error) {
	var s simple
	s.Critical.Identity.Reference, s.Critical.Image.Digest, s.Critical.Type = repository, image, simpleType
	if payload, err = json.Marshal(s); err != nil {
		return nil, "", err
	}
	sig, err := by.sign(payload)
	return payload, base64.StdEncoding.EncodeToString(sig), err
}

// verifySimple returns the key that has signed an image, and the repository that was signed. That may be another one: an
// image that was copied with its signatures is the same image.
func verifySimple(payload []byte, signature string, image digest.Digest, keys []Key) (key Key, repository string, err error) {
	sig, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return Key{}, "", fmt.Errorf("its signature: %w", err)
	}
	if key, err = by(keys, payload, sig); err != nil {
		return Key{}, "", err
	}
	var s simple
	if err := json.Unmarshal(payload, &s); err != nil {
		return Key{}, "", fmt.Errorf("what is signed is no image: %w", err)
	}
	if s.Critical.Type != simpleType {
		return Key{}, "", fmt.Errorf("what is signed is of the type %.100q: expected %s", s.Critical.Type, simpleType)
	}
	if s.Critical.Image.Digest != image {
		return Key{}, "", fmt.Errorf("it is of another image than %s", image)
	}
	return key, s.Critical.Identity.Reference, nil
}
