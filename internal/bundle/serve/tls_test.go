package serve

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// writeCert writes a certificate for a key, which it signs itself.
func writeCert(t *testing.T, name string, key crypto.Signer) (certFile, keyFile string) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(t.TempDir(), name+".pem"), filepath.Join(t.TempDir(), name+".key")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return certFile, keyFile
}

func ecKey(t *testing.T) crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// Old versions of TLS, weak keys, and a certificate with another's key are refused; after a bad one came, the good one goes on.
func TestTLS(t *testing.T) {
	cert, key := writeCert(t, "good", ecKey(t))
	_, other := writeCert(t, "other", ecKey(t))
	_, err := New(Options{CertFile: cert, KeyFile: other}, oneModule())
	require.ErrorContains(t, err, "private key does not match public key")
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	weakCert, weakKey := writeCert(t, "weak", weak)
	_, err = New(Options{CertFile: weakCert, KeyFile: weakKey}, oneModule())
	require.ErrorContains(t, err, "has 1024 bits: an RSA key must have 2048")

	s := newServer(t, Options{CertFile: cert, KeyFile: key, Grace: time.Second}, oneModule())
	addr, stop := start(t, s)
	dial := func(version uint16) error {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	require.ErrorContains(t, dial(tls.VersionTLS10), "protocol version")
	require.ErrorContains(t, dial(tls.VersionTLS11), "protocol version")
	require.NoError(t, dial(tls.VersionTLS12))
	require.NoError(t, dial(tls.VersionTLS13))
	insecure, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA}})
	require.Error(t, err, "%v", insecure)

	data, err := os.ReadFile(other)
	require.NoError(t, err)
	good, err := os.ReadFile(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(key, data, 0o600))
	_, err = s.Reload(oneModule())
	require.ErrorContains(t, err, "private key does not match public key")
	require.NoError(t, dial(tls.VersionTLS13))
	require.NoError(t, os.WriteFile(key, good, 0o600))
	_, err = s.Reload(oneModule())
	require.NoError(t, err)
	require.NoError(t, stop())
}

// Who begins no handshake is given up as who sends no request is, and a request has an end.
func TestSlowHandshake(t *testing.T) {
	cert, key := writeCert(t, "good", ecKey(t))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ln := pipes{make(chan net.Conn), make(chan struct{})}
		s := newServer(t, Options{CertFile: cert, KeyFile: key, Grace: time.Hour}, oneModule())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, ln) }()
		client, server := net.Pipe()
		ln.conns <- server
		begin := time.Now()
		_, err := io.Copy(io.Discard, client)
		require.NoError(t, err)
		require.Less(t, time.Since(begin), headerTimeout+5*time.Second)
		client.Close()
		cancel()
		require.NoError(t, <-done)
	})
}

func TestLargeRequest(t *testing.T) {
	addr, stop := start(t, newServer(t, Options{Grace: time.Second}, oneModule()))
	for name, prepare := range map[string]func(*http.Request){
		"header": func(r *http.Request) { r.Header.Set("X", strings.Repeat("x", 2*maxHeader)) },
		"path":   func(r *http.Request) { r.URL.Path = "/" + strings.Repeat("x", 2*maxHeader) },
	} {
		r, err := http.NewRequest(http.MethodGet, "http://"+addr+target, nil)
		require.NoError(t, err)
		prepare(r)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err, name)
		resp.Body.Close()
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode, name)
	}
	require.NoError(t, stop())
}
