package materials

import "github.com/opencontainers/go-digest"

// A Compiled is a layer of compiled packages that a build takes in the place of compiling: it is among the sources, too, as
// an image. Who vouches for it is who signed the Bundle.
type Compiled struct {
	Name   string        // of the named context
	For    string        // the step that it is for
	Digest digest.Digest // of the image
}

func (c Compiled) resource() Resource {
	r := Resource{Name: c.Name, Annotations: map[string]string{"kind": "compiled", "for": c.For}}
	if c.Digest.Validate() == nil {
		r.Digest = map[string]string{c.Digest.Algorithm().String(): c.Digest.Encoded()}
	}
	return r
}
