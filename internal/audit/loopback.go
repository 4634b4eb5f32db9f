package audit

import (
	"compress/gzip"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"
)

// loopback serves modules and a vulnerability database to programs that this process starts, since they can't read an
// fs.FS. Its URL holds a random word that is valid for this run only: the modules may be private, and the machine may
// have other users.
type loopback struct {
	url    string
	server *http.Server
	done   chan error
}

// serve serves two folders below url: modules at /modules, as a module proxy, and the database at /vulndb, compressed
// as it is at https://vuln.go.dev. Either may be nil.
func serve(modules, vulnDB fs.FS) (*loopback, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving modules to the go command: %w", err)
	}
	token := "/" + rand.Text()
	mux := http.NewServeMux()
	mux.Handle(token+"/modules/", http.StripPrefix(token+"/modules/", &files{modules, false}))
	mux.Handle(token+"/vulndb/", http.StripPrefix(token+"/vulndb/", &files{vulnDB, true}))
	l := &loopback{
		url:    "http://" + listener.Addr().String() + token,
		server: &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute},
		done:   make(chan error, 1),
	}
	go func() { l.done <- l.server.Serve(listener) }()
	return l, nil
}

func (l *loopback) close() error {
	err := l.server.Close()
	if serveErr := <-l.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// files serves files. If they are compressed, their names end in .gz.
type files struct {
	fsys       fs.FS
	compressed bool
}

func (h *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if h.compressed {
		name = strings.TrimSuffix(name, ".gz")
	}
	f, err := h.open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	if !h.compressed {
		_, err = io.Copy(w, f)
	} else {
		z := gzip.NewWriter(w)
		_, err = io.Copy(z, io.LimitReader(f, maxIndex))
		err = errors.Join(err, z.Close())
	}
	if err != nil {
		panic(http.ErrAbortHandler) // half a file must not look like a whole one
	}
}

func (h *files) open(name string) (fs.File, error) {
	if h.fsys == nil {
		return nil, fs.ErrNotExist
	}
	f, err := h.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(fs.ErrNotExist, err, f.Close())
	}
	return f, nil
}
