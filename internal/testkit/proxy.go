package testkit

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// A Proxy is a module proxy that serves folders. It serves on loopback if it has a URL.
type Proxy struct {
	URL  string
	dirs []string

	mu       sync.Mutex
	requests []string
	faults   []fault
}

type fault struct {
	part string
	do   Fault
}

// NewProxy returns the handler of a proxy over folders that are laid out as a module proxy. If several have a file, the
// first one wins. The Proxy has no URL.
func NewProxy(dirs ...string) *Proxy { return &Proxy{dirs: dirs} }

// ServeProxy serves a proxy over folders on loopback.
func ServeProxy(t testing.TB, dirs ...string) *Proxy {
	p := NewProxy(dirs...)
	srv := httptest.NewServer(p)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	p.URL = srv.URL
	return p
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, r.URL.Path)
	faults := p.faults
	p.mu.Unlock()
	for _, f := range faults {
		if strings.Contains(r.URL.Path, f.part) {
			f.do(w, r, http.HandlerFunc(p.serveFile))
			return
		}
	}
	p.serveFile(w, r)
}

func (p *Proxy) serveFile(w http.ResponseWriter, r *http.Request) {
	for _, dir := range p.dirs {
		if file := filepath.Join(dir, filepath.FromSlash(r.URL.Path)); isFile(file) {
			http.ServeFile(w, r, file)
			return
		}
	}
	http.NotFound(w, r)
}

func isFile(name string) bool {
	fi, err := os.Stat(name)
	return err == nil && fi.Mode().IsRegular()
}

// Requests returns the paths of all requests so far.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.requests...)
}

// Take returns the paths of the requests since the last call.
func (p *Proxy) Take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.requests
	p.requests = nil
	return taken
}

// Fail makes every request whose path contains part fail. If several faults match, the first counts.
func (p *Proxy) Fail(part string, do Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, fault{part, do})
}

// Bytes returns a fault that answers with the given bytes.
func Bytes(data []byte) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = w.Write(data) }
}

// Stalled is a fault that never answers.
func Stalled(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// Truncated is a fault that sends fewer bytes than it promises.
func Truncated(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Length", "1000000")
	_, _ = w.Write([]byte("PK\x03\x04"))
	panic(http.ErrAbortHandler)
}

// Toolchain puts the zip of a Go toolchain for this machine into a folder that is laid out as a module proxy.
func Toolchain(t testing.TB, dir, version string) { ToolchainFor(t, dir, version, runtime.GOARCH) }

// ToolchainFor is like Toolchain, for another architecture.
func ToolchainFor(t testing.TB, dir, version, arch string) {
	file := "golang.org/toolchain/@v/v0.0.1-" + version + "." + runtime.GOOS + "-" + arch + ".zip"
	dst := filepath.Join(dir, file)
	require.NoError(t, os.MkdirAll(filepath.Dir(dst), 0o755))
	src := cachedFile(t, file)
	if os.Link(src, dst) != nil { // another file system
		data, err := os.ReadFile(src)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(dst, data, 0o644))
	}
}

// A Module is a synthetic module version.
type Module struct {
	Path, Version string
	Files         map[string]string // name to text; go.mod is made if it is not there
}

// Write puts the module into a folder that is laid out as a module proxy, and returns its lines for a go.sum.
func (m Module) Write(t testing.TB, dir string) string {
	v := module.Version{Path: m.Path, Version: m.Version}
	files := map[string]string{"go.mod": "module " + m.Path + "\n"}
	for name, text := range m.Files {
		files[name] = text
	}
	data, hash := m.Zip(t, files)
	modHash, err := dirhash.Hash1([]string{"go.mod"}, memOpener(files))
	require.NoError(t, err)

	escaped, err := module.EscapePath(m.Path)
	require.NoError(t, err)
	base := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
	require.NoError(t, os.MkdirAll(base, 0o755))
	info, err := json.Marshal(map[string]string{"Version": m.Version, "Time": "2020-01-01T00:00:00Z"})
	require.NoError(t, err)
	for ext, data := range map[string][]byte{".zip": data, ".mod": []byte(files["go.mod"]), ".info": info} {
		require.NoError(t, os.WriteFile(filepath.Join(base, m.Version+ext), data, 0o644))
	}
	return v.Path + " " + v.Version + " " + hash + "\n" + v.Path + " " + v.Version + "/go.mod " + modHash + "\n"
}

// Zip makes a module zip from files, and returns it with its h1 hash.
func (m Module) Zip(t testing.TB, files map[string]string) ([]byte, string) {
	var list []zip.File
	for name, text := range files {
		list = append(list, memFile{name, text})
	}
	var buf bytes.Buffer
	require.NoError(t, zip.Create(&buf, module.Version{Path: m.Path, Version: m.Version}, list))
	file := filepath.Join(t.TempDir(), "m.zip")
	require.NoError(t, os.WriteFile(file, buf.Bytes(), 0o644))
	hash, err := dirhash.HashZip(file, dirhash.Hash1)
	require.NoError(t, err)
	return buf.Bytes(), hash
}
