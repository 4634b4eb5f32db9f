package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// rootsFile is the file where Go's crypto/x509 looks for roots on most Linux systems.
const rootsFile = "/etc/ssl/certs/ca-certificates.crt"

// A report says what the service finds in its image. A small image often lacks one of these.
type report struct {
	OK       bool     `json:"ok"`
	UID      int      `json:"uid"`
	GID      int      `json:"gid"`
	Roots    int      `json:"ca_roots"`
	TimeZone bool     `json:"time_zone"`
	Tmp      bool     `json:"tmp_writable"`
	Problems []string `json:"problems,omitempty"`
}

// selfcheck looks at the user, the CA roots, the time zones and the folder for temporary files.
func selfcheck() report {
	r := report{UID: os.Getuid(), GID: os.Getgid()}
	var err error
	if r.Roots, err = countRoots(rootsFile); err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	_, err = time.LoadLocation("Europe/Berlin")
	if r.TimeZone = err == nil; err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	err = tryTmp(os.TempDir())
	if r.Tmp = err == nil; err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	r.OK = len(r.Problems) == 0
	return r
}

// countRoots returns how many certificates a PEM file holds; none is an error.
func countRoots(file string) (n int, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("CA roots: %w", err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(bytes.TrimSpace(rest)) {
		if block.Type == "CERTIFICATE" {
			n++
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("CA roots: %s holds no certificate", file)
	}
	return n, nil
}

// tryTmp writes a file into a folder and removes it.
func tryTmp(dir string) error {
	f, err := os.CreateTemp(dir, "selfcheck-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	return f.Close()
}
