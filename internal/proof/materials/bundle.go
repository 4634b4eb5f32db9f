package materials

import (
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// A Bundle is the bundle from which a build takes modules, toolchains and images. The definition doesn't show it: the
// client, which has opened it, reports it. Its images are among the sources.
type Bundle struct {
	Name     string        `json:"name"`               // its reference, or its folder's name
	Digest   digest.Digest `json:"digest"`             // as docs/reference/bundle-format.md has it
	SignedBy []string      `json:"signedBy,omitempty"` // the keys that it was checked by, as NAME+HASH
	Serial   int64         `json:"serial,omitempty"`   // of the signature
	Time     string        `json:"time,omitempty"`     // of the signature
}

func (b Bundle) resource() Resource {
	r := Resource{Name: b.Name, Annotations: map[string]string{"kind": "bundle"}}
	if b.Digest.Validate() == nil {
		r.Digest = map[string]string{b.Digest.Algorithm().String(): b.Digest.Encoded()}
	}
	if len(b.SignedBy) > 0 {
		r.Annotations["signedBy"] = strings.Join(b.SignedBy, ", ")
		r.Annotations["serial"], r.Annotations["signed"] = strconv.FormatInt(b.Serial, 10), b.Time
	}
	return r
}
