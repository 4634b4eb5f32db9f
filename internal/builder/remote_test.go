package builder

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

func TestUnreachable(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	require.NoError(t, err)
	defer silent.Close()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refusing.Close())
	for address, why := range map[string]string{
		"unix:///no/such/buildkitd.sock":    "no such file or directory",
		"tcp://" + refusing.Addr().String(): "connection refused",
		"tcp://" + silent.Addr().String():   "no answer within",
	} {
		_, err := Connect(t.Context(), Options{Address: address})
		require.ErrorContains(t, err, "builder "+address+" can't be reached")
		require.ErrorContains(t, err, why)
		require.ErrorContains(t, err, "BUILDKIT_HOST")
	}
}

func TestBadAddress(t *testing.T) {
	for address, why := range map[string]string{
		"/run/buildkitd.sock": "write unix://",
		"unix://":             "isn't an address",
		"http://localhost":    `unknown scheme "http"`,
	} {
		_, err := Connect(t.Context(), Options{Address: address})
		require.ErrorContains(t, err, why, address)
	}
	_, err := Connect(t.Context(), Options{Address: "unix:///b.sock", TLS: TLS{CACert: "ca.pem"}})
	require.ErrorContains(t, err, "TLS is for tcp://")
	_, err = Connect(t.Context(), Options{Address: "tcp://127.0.0.1:1", TLS: TLS{CACert: "no-such.pem"}})
	require.ErrorContains(t, err, "no-such.pem")
}

func TestUnixAddress(t *testing.T) {
	b := start(t, t.TempDir())
	r, err := Connect(t.Context(), Options{Address: "unix://" + filepath.Join(b.Address, socketName)})
	require.NoError(t, err)
	require.Equal(t, Remote, r.Kind)
	checkBuild(t, r, "over a socket")
	require.NoError(t, r.Close())
}

// TestTLS puts a TLS end that wants a client certificate before a builder.
func TestTLS(t *testing.T) {
	b := start(t, t.TempDir())
	good, other := newIdentity(t), newIdentity(t)
	pool := x509.NewCertPool()
	pool.AddCert(good.cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{good.pair}, NextProtos: []string{"h2"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})
	require.NoError(t, err)
	defer l.Close()
	go forward(l, filepath.Join(b.Address, socketName))
	address := "tcp://" + l.Addr().String()
	files := TLS{CACert: good.certFile, Cert: good.certFile, Key: good.keyFile, ServerName: "builder.test"}

	r, err := Connect(t.Context(), Options{Address: address, TLS: files})
	require.NoError(t, err)
	require.Equal(t, Remote, r.Kind)
	checkBuild(t, r, "over TLS")
	require.NoError(t, r.Close())

	for name, bad := range map[string]TLS{
		"unknown server":    {CACert: other.certFile, Cert: good.certFile, Key: good.keyFile, ServerName: "builder.test"},
		"other server name": {CACert: good.certFile, Cert: good.certFile, Key: good.keyFile, ServerName: "other.test"},
		"system's roots":    {Cert: good.certFile, Key: good.keyFile, ServerName: "builder.test"},
		"no client cert":    {CACert: good.certFile, ServerName: "builder.test"},
		"no TLS":            {},
	} {
		_, err := Connect(t.Context(), Options{Address: address, TLS: bad})
		require.ErrorContains(t, err, "builder "+address+" can't be reached", name)
	}
}

// TestDockerEngine builds on a stand-in for an engine that serves what a real
// one does: /info, and BuildKit behind /grpc and /session.
func TestDockerEngine(t *testing.T) {
	b := start(t, t.TempDir())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"DriverStatus":[["Backing Filesystem","ext4"],["driver-type","io.containerd.snapshotter.v1"]]}`)
	})
	mux.HandleFunc("POST /grpc", func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "h2c", r.Header.Get("Upgrade"))
		conn, _, err := http.NewResponseController(w).Hijack()
		require.NoError(t, err)
		io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		pipe(conn, filepath.Join(b.Address, socketName))
	})
	host := serve(t, mux)

	d, err := Connect(t.Context(), Options{DockerHost: host})
	require.NoError(t, err)
	require.Equal(t, Docker, d.Kind)
	require.Equal(t, host, d.Address)
	require.True(t, d.ContainerdStore)
	require.NoError(t, d.Close())
}

// TestDockerWithoutBuildKit is an engine's look-alike: not used, and said so.
func TestDockerWithoutBuildKit(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{}`) })
	host := serve(t, mux)
	_, err := Connect(t.Context(), Options{Address: Docker, DockerHost: host})
	require.ErrorContains(t, err, "Docker engine "+host+" can't be used")
	require.ErrorContains(t, err, "404 Not Found")

	testkit.NeedContainers(t)
	b, err := Connect(t.Context(), Options{DockerHost: host, StateDir: t.TempDir()})
	require.NoError(t, err)
	require.Equal(t, Embedded, b.Kind)
	require.NoError(t, b.Close())
}

func serve(t *testing.T, h http.Handler) (host string) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "docker.sock"))
	require.NoError(t, err)
	server := &http.Server{Handler: h}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return "unix://" + l.Addr().String()
}

// forward passes each connection of l on to a unix socket.
func forward(l net.Listener, socket string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go pipe(conn, socket)
	}
}

func pipe(conn net.Conn, socket string) {
	defer conn.Close()
	to, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer to.Close()
	go io.Copy(to, conn)
	io.Copy(conn, to)
}

// identity is a self-signed certificate for builder.test.
type identity struct {
	cert              *x509.Certificate
	pair              tls.Certificate
	certFile, keyFile string
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "builder.test"},
		DNSNames: []string{"builder.test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	id := identity{cert: cert, certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	require.NoError(t, os.WriteFile(id.certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(id.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	id.pair, err = tls.LoadX509KeyPair(id.certFile, id.keyFile)
	require.NoError(t, err)
	return id
}
