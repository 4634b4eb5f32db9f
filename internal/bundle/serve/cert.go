package serve

import (
	"crypto/rsa"
	"crypto/tls"
	"fmt"
)

// minRSA is the least number of bits of an RSA key: all recommendations consider shorter keys broken.
const minRSA = 2048

// loadCert reads a certificate and its key, and checks that they belong together.
func loadCert(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate %s and its key %s: %w", certFile, keyFile, err)
	}
	if key, ok := cert.PrivateKey.(*rsa.PrivateKey); ok && key.N.BitLen() < minRSA {
		return nil, fmt.Errorf("the key %s has %d bits: an RSA key must have %d", keyFile, key.N.BitLen(), minRSA)
	}
	return &cert, nil
}
