package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/bundle/goproxy"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const (
	clients     = 200
	loadModules = 40
	// growth is how many bytes more the heap may have after many requests than after some. It is half a kilobyte for
	// each of the 20,000 requests of TestManyClients.
	growth = 10 << 20
)

// loadBundle makes a bundle of modules, of 100 kB each, and returns what is to be served of it.
func loadBundle(t *testing.T) (b *bundle.Bundle, files map[string][]byte) {
	dir, files := t.TempDir(), map[string][]byte{}
	var sums strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for i := range loadModules {
		data := make([]byte, 100<<10)
		for j := range data {
			data[j] = byte(' ' + random.IntN(95))
		}
		path := fmt.Sprintf("example.com/m%d", i)
		sums.WriteString(testkit.Module{Path: path, Version: "v1.0.0", Files: map[string]string{"data.txt": string(data)}}.Write(t, dir))
		files[path+"/@v/v1.0.0.info"] = []byte(`{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}`)
		for _, ext := range []string{".mod", ".zip"} {
			file := path + "/@v/v1.0.0" + ext
			content, err := os.ReadFile(filepath.Join(dir, file))
			require.NoError(t, err)
			files[file] = content
		}
		files[path+"/@v/list"] = []byte("v1.0.0\n")
		files[path+"/@latest"] = files[path+"/@v/v1.0.0.info"]
	}
	set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(sums.String())})
	require.NoError(t, err)
	m := bundle.Maker{Sources: bundle.Sources{Folders: []bundle.Folder{{Name: "load", FS: os.DirFS(dir)}}}}
	b, err = m.Create(t.Context(), t.TempDir(), bundle.Request{Modules: set, Keys: []string{set.Key()}})
	require.NoError(t, err)
	return b, files
}

// view is what 'larder bundle serve' serves of a bundle.
func view(t *testing.T, b *bundle.Bundle) (*bundle.View, goproxy.Source) {
	v, err := b.View(t.Context(), bundle.ModulesName)
	require.NoError(t, err)
	return v, goproxy.Source{Name: "load", FS: v}
}

// fetchAll has the clients fetch module after module, even ones the same and odd ones different ones, while more says so.
// It returns the number of requests.
func fetchAll(ctx context.Context, url string, files map[string][]byte, more func(round int) bool) (int64, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var requests atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for i := range clients {
		group.Go(func() error {
			for round := 0; more(round); round++ {
				module := round % loadModules
				if i%2 == 1 {
					module = (round + i) % loadModules
				}
				for _, name := range []string{"/@latest", "/@v/list", "/@v/v1.0.0.info", "/@v/v1.0.0.mod", "/@v/v1.0.0.zip"} {
					file := fmt.Sprintf("example.com/m%d%s", module, name)
					if err := fetch(ctx, client, url+"/"+file, files[file]); err != nil {
						return err
					}
					requests.Add(1)
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return requests.Load(), err
}

func fetch(ctx context.Context, client *http.Client, url string, want []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK || !bytes.Equal(data, want) {
		return fmt.Errorf("%s: %s with %d bytes: expected %d", url, resp.Status, len(data), len(want))
	}
	return nil
}

func heap() uint64 {
	http.DefaultClient.CloseIdleConnections()
	runtime.GC()
	runtime.GC() // for what the first one finalized
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// underLoad serves a bundle to clients for a while and for a longer while, reads it anew between these, and compares the
// heap.
func underLoad(t *testing.T, short, long func(round int) bool) {
	b, files := loadBundle(t)
	old, src := view(t, b)
	s := newServer(t, Options{Grace: time.Minute}, src)
	addr, stop := start(t, s)
	_, err := fetchAll(t.Context(), "http://"+addr, files, short)
	require.NoError(t, err)
	before := heap()
	v, src := view(t, b)
	defer v.Close()
	released, err := s.Reload(src)
	require.NoError(t, err)
	<-released
	require.NoError(t, old.Close())
	requests, err := fetchAll(t.Context(), "http://"+addr, files, long)
	require.NoError(t, err)
	after := heap()
	t.Logf("the heap had %d kB, and %d kB after %d more requests", before>>10, after>>10, requests)
	require.Less(t, after, before+growth)
	require.NoError(t, stop())
	runtime.KeepAlive(files)
}

func TestManyClients(t *testing.T) {
	rounds := func(n int) func(int) bool { return func(round int) bool { return round < n } }
	underLoad(t, rounds(2), rounds(20))
}
