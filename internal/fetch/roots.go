package fetch

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Roots returns the certificate authorities to trust. They are those of the system, of which a container without files
// has none, Mozilla's at the time when Larder was built, and those in the file extra if it exists.
func Roots(extra string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, fmt.Errorf("reading the built-in certificate authorities: %w", err)
		}
		if root.Constraint == nil {
			pool.AddCert(cert)
		} else {
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	if extra == "" {
		return pool, nil
	}
	pem, err := os.ReadFile(extra)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return pool, nil
	case err != nil:
		return nil, fmt.Errorf("reading certificate authorities: %w", err)
	case !pool.AppendCertsFromPEM(pem):
		return nil, fmt.Errorf("%s holds no certificate of an authority: give a PEM file", extra)
	}
	return pool, nil
}
