package oci

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// predicateType is the annotation, on a layer of an attestation manifest, that names the type of the attestation.
const predicateType = "in-toto.io/predicate-type"

// A Statement is an in-toto attestation, as BuildKit attaches it to an image.
type Statement struct {
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"` // none if the image had no name when it was built
	Predicate json.RawMessage `json:"predicate"`
}

// Statements returns the attestations of an image that have the given type, checked against their digests. An
// attestation for another image's digest is an error.
func (i *Image) Statements(ctx context.Context, of string) ([]Statement, error) {
	var found []Statement
	seen := map[digest.Digest]bool{}
	for _, desc := range i.attestations {
		if seen[desc.Digest] {
			continue
		}
		seen[desc.Digest] = true
		var m ocispec.Manifest
		if err := i.layout.readDocument(ctx, desc, &m); err != nil {
			return nil, err
		}
		var config json.RawMessage // it says nothing, and is checked
		if err := i.layout.readDocument(ctx, m.Config, &config); err != nil {
			return nil, err
		}
		for _, l := range m.Layers {
			var s Statement
			if err := i.layout.readJSON(ctx, l, maxStatement, &s); err != nil {
				return nil, err
			}
			if s.PredicateType != l.Annotations[predicateType] {
				return nil, fmt.Errorf("attestation %s says that it is of type %s, and its manifest that it is %s", l.Digest, s.PredicateType, l.Annotations[predicateType])
			}
			if err := i.isSubject(s); err != nil {
				return nil, fmt.Errorf("attestation %s: %w", l.Digest, err)
			}
			if s.PredicateType == of {
				found = append(found, s)
			}
		}
	}
	return found, nil
}

func (i *Image) isSubject(s Statement) error {
	for _, subject := range s.Subject {
		if subject.Digest[i.Digest.Algorithm().String()] == i.Digest.Encoded() {
			return nil
		}
	}
	if len(s.Subject) == 0 {
		return nil
	}
	return fmt.Errorf("it is about another image, not %s", i.Digest)
}
