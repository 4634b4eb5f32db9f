package sumdbcopy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

// A database is a checksum database on loopback. It implements Remote.
type database struct {
	url, name, key, signer string
	server                 *sumdb.TestServer

	mu    sync.Mutex
	asked map[string]int
	alter func(path string, data []byte) ([]byte, error) // a fault
}

// newDatabase starts a database with n records of module versions, mod(0) to mod(n-1).
func newDatabase(t testing.TB, n int) *database {
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example.com/db")
	require.NoError(t, err)
	d := &database{name: "sum.example.com/db", key: key}
	d.start(t, signer, n)
	return d
}

func (d *database) start(t testing.TB, signer string, n int) {
	d.signer, d.asked = signer, map[string]int{}
	d.server = sumdb.NewTestServer(signer, func(path, vers string) ([]byte, error) {
		if strings.HasPrefix(path, "private.example.com/") {
			return nil, fs.ErrNotExist
		}
		return []byte(strings.Join(sums(module.Version{Path: path, Version: vers}), "\n") + "\n"), nil
	})
	srv := httptest.NewServer(sumdb.NewServer(d.server))
	t.Cleanup(srv.Close)
	d.url = srv.URL
	d.add(t, 0, n)
}

// add gives the database the records from one number to before another.
func (d *database) add(t testing.TB, from, to int) {
	for i := from; i < to; i++ {
		_, err := d.server.Lookup(t.Context(), mod(i))
		require.NoError(t, err)
	}
}

func mod(i int) module.Version {
	return module.Version{Path: fmt.Sprintf("example.com/Some/m%d", i), Version: "v1.0.0"}
}

func mods(numbers ...int) (list []module.Version) {
	for _, i := range numbers {
		list = append(list, mod(i))
	}
	return list
}

func sums(m module.Version) (lines []string) {
	for _, suffix := range []string{"", "/go.mod"} {
		sum := sha256.Sum256([]byte(m.String() + suffix))
		lines = append(lines, m.Path+" "+m.Version+suffix+" h1:"+base64.StdEncoding.EncodeToString(sum[:]))
	}
	return lines
}

// Get implements Remote.
func (d *database) Get(ctx context.Context, path string) ([]byte, error) {
	d.mu.Lock()
	d.asked[path]++
	d.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, fs.ErrNotExist
	case resp.StatusCode != http.StatusOK:
		return nil, errors.New(resp.Status)
	case d.alter != nil:
		return d.alter(path, data)
	}
	return data, nil
}

func (d *database) recorder(dir string, known ...string) Recorder {
	r := Recorder{Key: d.key, Remote: d, Dir: dir}
	for _, k := range known {
		r.Known = append(r.Known, os.DirFS(k))
	}
	return r
}

// A desk is a go command that remembers the tree it last saw, and asks several copies as the module proxy does.
type desk struct {
	*replay
	copies []fs.FS
	latest []byte

	mu    sync.Mutex
	asked map[string]bool
	wrong string
}

func (d *database) desk(t testing.TB, latest []byte, dirs ...string) *desk {
	k := &desk{replay: &replay{key: d.key}, latest: latest, asked: map[string]bool{}}
	for _, dir := range dirs {
		sub, err := fs.Sub(os.DirFS(dir), "sumdb/"+d.name)
		require.NoError(t, err)
		k.copies = append(k.copies, sub)
	}
	return k
}

func (k *desk) ReadRemote(path string) ([]byte, error) {
	name := strings.TrimPrefix(path, "/")
	k.mu.Lock()
	k.asked[name] = true
	k.mu.Unlock()
	if strings.HasPrefix(name, "lookup/") {
		return Lookup(k.copies, name)
	}
	return readFirst(k.copies, name)
}

func (k *desk) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(k.key), nil
	}
	return k.latest, nil
}

func (k *desk) WriteConfig(_ string, _, latest []byte) error {
	k.latest = latest
	return nil
}

func (k *desk) SecurityError(msg string) { k.wrong = msg }

// finds has the go command look versions up.
func (k *desk) finds(t testing.TB, list ...module.Version) {
	t.Helper()
	client := sumdb.NewClient(k)
	for _, m := range list {
		lines, err := client.Lookup(m.Path, m.Version)
		require.NoError(t, err)
		require.Empty(t, k.wrong)
		require.Equal(t, sums(m)[:1], lines)
	}
}

// read returns the files of a copy.
func read(t testing.TB, dir string, c *Copy) map[string]string {
	files := map[string]string{}
	for _, name := range c.Files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		files[name] = string(data)
	}
	return files
}
