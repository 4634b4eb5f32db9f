package planner

import "regexp"

// FIPS names a frozen version of Go's cryptography, which is a zip in the toolchain. The go command unpacks it into the
// module cache, and ours is read-only by then.
type FIPS struct {
	Version   string `json:"version"`   // as GOFIPS140 has it: v1.0.0, certified, …
	Toolchain string `json:"toolchain"` // the version of the toolchain that brings it
}

var fipsVersion = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// fips returns what GOFIPS140 asks of a module cache that a toolchain of Larder's is used with; nil for nothing. A value
// that can't be a version is left to the go command to refuse.
func (p *Plan) fips(version, toolchain string) *FIPS {
	if toolchain == "" || version == "off" || version == "latest" || !fipsVersion.MatchString(version) {
		return nil
	}
	return &FIPS{version, toolchain}
}

func (f *FIPS) suffix() string {
	if f == nil {
		return ""
	}
	return "-fips140-" + f.Version + "-" + f.Toolchain
}
