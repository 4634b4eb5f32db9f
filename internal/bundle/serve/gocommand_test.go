package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/bundle/goproxy"
	"github.com/larder-build/larder/internal/fetch/sumdbcopy"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

// A world is what a bundle is made from: a module proxy's folder and the checksum database of its modules.
type world struct {
	dir  string
	key  string
	sums map[module.Version]string
	db   *sumdb.TestServer
	url  string // of the checksum database
}

func newWorld(t *testing.T) *world {
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example.com")
	require.NoError(t, err)
	w := &world{dir: t.TempDir(), key: key, sums: map[module.Version]string{}}
	w.db = sumdb.NewTestServer(signer, func(path, vers string) ([]byte, error) {
		sums, ok := w.sums[module.Version{Path: path, Version: vers}]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(sums), nil
	})
	srv := httptest.NewServer(sumdb.NewServer(w.db))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

// add publishes a module.
func (w *world) add(t *testing.T, path, version string, files map[string]string) module.Version {
	m := module.Version{Path: path, Version: version}
	w.sums[m] = testkit.Module{Path: path, Version: version, Files: files}.Write(t, w.dir)
	return m
}

// grow gives the checksum database records of modules that nobody needs.
func (w *world) grow(t *testing.T, n int) {
	for range n {
		m := module.Version{Path: fmt.Sprintf("example.org/m%d", len(w.sums)), Version: "v1.0.0"}
		w.sums[m] = fmt.Sprintf("%s %s h1:0\n%s %s/go.mod h1:0\n", m.Path, m.Version, m.Path, m.Version)
		_, err := w.db.Lookup(t.Context(), m)
		require.NoError(t, err)
	}
}

// Get implements sumdbcopy.Remote.
func (w *world) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %w", resp.Status, fs.ErrNotExist)
	}
	return io.ReadAll(resp.Body)
}

// bundle makes a source of modules: their files, and the copy of the checksum database.
func (w *world) bundle(t *testing.T, name string, known []goproxy.Source, mods ...module.Version) (goproxy.Source, string) {
	dir := t.TempDir()
	for _, m := range mods {
		escaped, err := module.EscapePath(m.Path)
		require.NoError(t, err)
		for _, ext := range []string{".info", ".mod", ".zip"} {
			file := filepath.Join(escaped, "@v", m.Version+ext)
			data, err := os.ReadFile(filepath.Join(w.dir, file))
			require.NoError(t, err)
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o644))
		}
	}
	r := sumdbcopy.Recorder{Key: w.key, Remote: w, Dir: dir}
	for _, src := range known {
		r.Known = append(r.Known, src.FS)
	}
	_, err := r.Record(t.Context(), mods)
	require.NoError(t, err)
	return goproxy.Source{Name: name, FS: os.DirFS(dir)}, dir
}

// A desk is a developer's: a go command with nothing but GOPROXY and the checksum database's key set.
type desk struct {
	dir string // the module that is worked on
	env []string
}

func (w *world) desk(t *testing.T, proxy string, env ...string) desk {
	home, dir := testkit.Home(t), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/desk\n\ngo 1.24\n"), 0o644))
	return desk{dir, append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GOPATH=" + filepath.Join(home, "go"), "GOFLAGS=-modcacherw", "GOENV=off",
		"GOTOOLCHAIN=local", "GOTELEMETRY=off", "CGO_ENABLED=0", "GOPROXY=" + proxy, "GOSUMDB=" + w.key,
	}, env...)}
}

func (d desk) run(t *testing.T, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d desk) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.run(t, args...)
	require.NoError(t, err, out)
	return out
}

func (d desk) refuses(t *testing.T, want string, args ...string) {
	t.Helper()
	out, err := d.run(t, args...)
	require.Error(t, err, out)
	require.Contains(t, out, want)
}

func TestGoCommand(t *testing.T) {
	w := newWorld(t)
	w.grow(t, 300)
	a0 := w.add(t, "example.com/a", "v1.0.0", map[string]string{"a.go": "package a\n"})
	a1 := w.add(t, "example.com/a", "v1.1.0", map[string]string{"a.go": "package a\n\nconst New = 1\n"})
	b := w.add(t, "example.com/b", "v0.3.0", map[string]string{
		"go.mod": "module example.com/b\n\ngo 1.24\n\nrequire example.com/a v1.0.0\n",
		"b.go":   "package b\n\nimport _ \"example.com/a\"\n",
	})
	c := w.add(t, "example.com/Upper/c", "v0.0.0-20240102030405-0123456789ab", map[string]string{"c.go": "package c\n"})
	first, _ := w.bundle(t, "first", nil, a0, b, c)
	w.grow(t, 400)
	d := w.add(t, "example.com/d", "v1.0.0", map[string]string{"d.go": "package d\n"})
	second, _ := w.bundle(t, "second", []goproxy.Source{first}, a1, d)

	s := newServer(t, Options{Grace: time.Minute}, first)
	addr, stop := start(t, s)
	url := "http://" + addr

	t.Run("download", func(t *testing.T) {
		w.desk(t, url).do(t, "mod", "download", c.String(), "example.com/a@latest", b.String())
	})
	old := w.desk(t, url)
	t.Run("get", func(t *testing.T) {
		old.do(t, "get", "example.com/Upper/c@latest", "example.com/b")
		require.Contains(t, old.do(t, "list", "-m", "all"), "example.com/a v1.0.0")
		require.Equal(t, "example.com/a v1.0.0\n", old.do(t, "list", "-m", "-versions", "example.com/a"))
		sum, err := os.ReadFile(filepath.Join(old.dir, "go.sum"))
		require.NoError(t, err)
		require.Contains(t, string(sum), w.sums[b])
	})
	t.Run("what is not there", func(t *testing.T) {
		old.refuses(t, "no version of example.com/none is in bundle first: ", "get", "example.com/none")
		old.refuses(t, "info of example.com/a@v1.9.0 is not in bundle first: ", "get", "example.com/a@v1.9.0")
	})

	_, err := s.Reload(second, first)
	require.NoError(t, err)
	t.Run("a later bundle, a desk that knows the first", func(t *testing.T) {
		old.do(t, "get", d.String(), "example.com/a@latest")
		require.Contains(t, old.do(t, "list", "-m", "all"), "example.com/a v1.1.0")
		old.do(t, "clean", "-modcache")
		old.do(t, "mod", "download", "-json", b.String(), a0.String(), c.String(), a1.String())
	})
	t.Run("both bundles, a new desk", func(t *testing.T) {
		w.desk(t, url).do(t, "mod", "download", d.String(), c.String(), a1.String(), b.String(), a0.String())
		w.desk(t, url).do(t, "get", c.String(), d.String(), b.String())
	})
	require.NoError(t, stop())
}

// The go command refuses what isn't what the checksum database says, and what it doesn't know.
func TestGoCommandRefuses(t *testing.T) {
	w := newWorld(t)
	a := w.add(t, "example.com/a", "v1.0.0", map[string]string{"a.go": "package a\n"})
	b := w.add(t, "example.com/b", "v1.0.0", map[string]string{"b.go": "package b\n"})
	src, dir := w.bundle(t, "first", nil, a, b)
	testkit.Module{Path: a.Path, Version: a.Version, Files: map[string]string{"a.go": "package a // changed\n"}}.Write(t, dir)
	testkit.Module{Path: "example.com/private", Version: "v1.0.0", Files: map[string]string{"p.go": "package p\n"}}.Write(t, dir)
	lookup := filepath.Join(dir, "sumdb/sum.example.com/lookup/example.com/b@v1.0.0")
	data, err := os.ReadFile(lookup)
	require.NoError(t, err)
	data[len("1\nexample.com/b v1.0.0 h1:")] ^= 1
	require.NoError(t, os.WriteFile(lookup, data, 0o644))

	addr, stop := start(t, newServer(t, Options{Grace: time.Minute}, src))
	url := "http://" + addr
	w.desk(t, url).refuses(t, "checksum mismatch", "get", a.String())
	w.desk(t, url).refuses(t, "cannot authenticate record data", "get", b.String())
	w.desk(t, url).refuses(t, "the checksum database's record of example.com/private@v1.0.0 is not in bundle first: ", "get", "example.com/private")
	w.desk(t, url, "GONOSUMDB=example.com/private").do(t, "get", "example.com/private")
	require.NoError(t, stop())
}

// certificate writes one for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}

func TestGoCommandWithToken(t *testing.T) {
	w := newWorld(t)
	a := w.add(t, "example.com/a", "v1.0.0", map[string]string{"a.go": "package a\n"})
	src, _ := w.bundle(t, "first", nil, a)
	cert, key := certificate(t)
	s := newServer(t, Options{CertFile: cert, KeyFile: key, Token: "t0ken", Grace: time.Minute}, src)
	addr, stop := start(t, s)
	url := "https://" + addr

	netrc := filepath.Join(t.TempDir(), "netrc")
	require.NoError(t, os.WriteFile(netrc, []byte("machine "+addr+" login any password t0ken\n"), 0o600))
	w.desk(t, url, "SSL_CERT_FILE="+cert).refuses(t, "write into your netrc file: machine "+addr+" login", "get", a.Path)
	w.desk(t, url, "SSL_CERT_FILE="+cert, "NETRC="+netrc).do(t, "get", a.Path)

	// A new certificate is taken without a restart.
	newCert, newKey := certificate(t)
	require.NoError(t, os.Rename(newCert, cert))
	require.NoError(t, os.Rename(newKey, key))
	_, err := s.Reload(src)
	require.NoError(t, err)
	w.desk(t, url, "SSL_CERT_FILE="+cert, "NETRC="+netrc).do(t, "get", a.Path)
	require.NoError(t, stop())
}
