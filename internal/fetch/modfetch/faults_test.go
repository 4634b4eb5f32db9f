package modfetch

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

const faultsDoc = "../../../docs/reference/faults.md"

// faultClient returns a client that waits for little, of what is tried with faults.
func faultClient(t *testing.T, srv *httptest.Server) *fetch.Client {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	c := impatient(t, ca)
	c.Policy.HeadWait, c.Policy.Stall = time.Second, time.Second
	return c
}

// shown returns an error as the document has it.
func shown(err error, srv *httptest.Server, key string) error {
	if err == nil {
		return nil
	}
	host := strings.TrimPrefix(srv.URL, "https://")
	return errors.New(strings.NewReplacer("example.com/m@v1.0.0", "MODULE", "https://"+host, "HOST", host, "HOST", "for 1s", "for TIME", key, "KEY").Replace(err.Error()))
}

func every(*http.Request) bool { return true }

// TestProxyFaults gets a module's zip and checks it, as the steps of a build do.
func TestProxyFaults(t *testing.T) {
	m := testkit.Module{Path: "example.com/m", Version: "v1.0.0"}
	body := make([]byte, 50_000)
	_, _ = rand.Read(body)
	zip, hash := m.Zip(t, map[string]string{"go.mod": "module example.com/m\n", "data": string(body)})
	good := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", noon, bytes.NewReader(zip))
	})
	testkit.CheckFaults(t, faultsDoc, "Module proxies", testkit.Faults(), func(t *testing.T, f testkit.NamedFault, times int64) error {
		srv := httptest.NewTLSServer(testkit.Faulty(good, testkit.Where(every, times, f.Do)))
		t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
		src, err := parseSource(srv.URL)
		require.NoError(t, err)
		file, err := os.Create(filepath.Join(t.TempDir(), "zip"))
		require.NoError(t, err)
		defer file.Close()
		if err := src.Get(t.Context(), faultClient(t, srv), "example.com/m/@v/v1.0.0.zip", file, 1<<24); err != nil {
			return shown(err, srv, "no key")
		}
		v := module.Version{Path: m.Path, Version: m.Version}
		return shown(VerifyZip(v, file.Name(), srv.URL, InGoSum(gomod.Sum{Path: m.Path, Version: m.Version, Hash: hash})), srv, "no key")
	})
}

// TestDatabaseFaults has a checksum database vouch for a hash.
func TestDatabaseFaults(t *testing.T) {
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example.com")
	require.NoError(t, err)
	m := module.Version{Path: "example.com/m", Version: "v1.0.0"}
	const line = "example.com/m v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	server := sumdb.NewTestServer(signer, func(string, string) ([]byte, error) { return []byte(line + "\n"), nil })
	_, err = server.Lookup(context.Background(), m)
	require.NoError(t, err)
	good := sumdb.NewServer(server)
	testkit.CheckFaults(t, faultsDoc, "Checksum databases", testkit.Faults(), func(t *testing.T, f testkit.NamedFault, times int64) error {
		srv := httptest.NewTLSServer(testkit.Faulty(good, testkit.Where(every, times, f.Do)))
		t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
		d, err := NewDatabase(t.Context(), faultClient(t, srv), key+" "+srv.URL, nil)
		require.NoError(t, err)
		sum, err := d.Lookup(m)
		if err != nil {
			name, id, _ := strings.Cut(key, "+")
			id, _, _ = strings.Cut(id, "+")
			return shown(err, srv, name+"+"+id)
		}
		require.Equal(t, line, m.Path+" "+m.Version+" "+sum)
		return nil
	})
}
