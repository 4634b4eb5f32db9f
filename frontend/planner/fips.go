package planner

import "regexp"

// FIPS names a frozen version of Go's cryptography. The toolchain has it as a zip. The go command unpacks it into the
// module cache, which can't be done when the cache is mounted read-only, so Larder unpacks it.
type FIPS struct {
	Version   string `json:"version"`   // as GOFIPS140 has it: v1.0.0, certified, …
	Toolchain string `json:"toolchain"` // the version of the toolchain that brings it
}

var fipsVersion = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// fips returns the FIPS version that GOFIPS140 asks for, if a toolchain of Larder's is used, or else nil. If the value
// can't be a version, fips leaves the error to the go command.
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
