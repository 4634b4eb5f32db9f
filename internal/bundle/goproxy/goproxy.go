// Package goproxy serves bundles as a read-only module proxy (https://go.dev/ref/mod#goproxy-protocol), with the copies
// of checksum databases that they hold. So developers behind an air gap have to set GOPROXY and nothing else. It makes
// lists of versions from the files that are there, and serves no file that the protocol doesn't name.
package goproxy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/fetch/sumdbcopy"
)

// A Source is the files of one bundle, with a name for messages.
type Source struct {
	Name string // for messages
	// FS is laid out as a module proxy is: <escaped path>/@v/<escaped version>.info, .mod and .zip, and sumdb/<name>/… as
	// package sumdbcopy writes it. Ranges are served of files that are io.Seekers.
	FS fs.FS
}

// SourceOf returns the source of a bundle in a folder. Its name is the last part of the folder's path, because clients
// shouldn't learn where it is.
func SourceOf(dir string, files fs.FS) Source {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return Source{filepath.Base(dir), files}
}

// A Proxy is a module proxy over sources. It implements http.Handler and holds nothing of what it serves.
type Proxy struct{ sources []Source }

// New returns a proxy over sources. The first source that has a file serves it.
func New(sources ...Source) *Proxy { return &Proxy{sources} }

// These are the Cache-Control headers: the files of a version never change, but lists of versions change with every
// reload.
const (
	forever = "max-age=31536000, immutable"
	noCache = "no-cache"
)

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this module proxy is read-only: expected GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	n, err := parse(r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	switch err := p.serve(w, r, n); {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, p.missing(n), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// serve answers a request, or returns an error before it has sent anything.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, n name) error {
	switch n.kind {
	case kindList:
		list, err := p.list(n)
		return serveText(w, r, list, err)
	case kindLatest:
		version, err := p.latest(n)
		if err != nil {
			return err
		}
		return p.serveFile(w, r, version, noCache)
	case kindSupported:
		_, err := p.databases(n)
		return serveText(w, r, nil, err)
	case kindLookup:
		copies, err := p.databases(n)
		if err != nil {
			return err
		}
		data, err := sumdbcopy.Lookup(copies, strings.TrimPrefix(n.file, "sumdb/"+n.sumdb+"/"))
		return serveText(w, r, data, err)
	case kindHead:
		return p.serveFile(w, r, n, noCache)
	}
	return p.serveFile(w, r, n, forever)
}

// databases returns the sources' copies of a checksum database.
func (p *Proxy) databases(n name) (copies []fs.FS, err error) {
	for _, src := range p.sources {
		sub, err := fs.Sub(src.FS, path.Join("sumdb", n.sumdb))
		if err != nil {
			return nil, err
		}
		switch _, err := fs.Stat(sub, "latest"); {
		case err == nil:
			copies = append(copies, sub)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("reading bundle %s: %w", src.Name, err)
		}
	}
	if copies == nil {
		return nil, fs.ErrNotExist
	}
	return copies, nil
}

func serveText(w http.ResponseWriter, r *http.Request, data []byte, err error) error {
	if err != nil {
		return err
	}
	head := w.Header()
	head.Set("Content-Type", "text/plain; charset=utf-8")
	head.Set("Cache-Control", noCache)
	head.Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(data) // the client's loss
	}
	return nil
}

var contentTypes = map[kind]string{
	kindInfo: "application/json",
	kindMod:  "text/plain; charset=utf-8",
	kindZip:  "application/zip",
	kindHead: "text/plain; charset=utf-8",
	kindTile: "application/octet-stream",
}

func (p *Proxy) serveFile(w http.ResponseWriter, r *http.Request, n name, cache string) error {
	f, info, err := p.open(n.file)
	if err != nil {
		return err
	}
	defer f.Close()
	head := w.Header()
	head.Set("Content-Type", contentTypes[n.kind])
	head.Set("Cache-Control", cache)
	if seeker, ok := f.(io.ReadSeeker); ok {
		var modified time.Time // unknown: bundles give all files one time, so it doesn't tell a changed file
		if cache == forever {
			modified = info.ModTime()
		}
		http.ServeContent(w, r, "", modified, seeker)
		return nil
	}
	head.Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	if r.Method == http.MethodGet {
		if _, err := io.CopyN(w, f, info.Size()); err != nil {
			panic(http.ErrAbortHandler) // so that the client doesn't take it for the whole
		}
	}
	return nil
}

// open opens a regular file of the first source that has it.
func (p *Proxy) open(file string) (fs.File, fs.FileInfo, error) {
	for _, src := range p.sources {
		f, err := src.FS.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading bundle %s: %w", src.Name, err)
		}
		info, err := f.Stat()
		if err == nil && info.Mode().IsRegular() {
			return f, info, nil
		}
		f.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("reading bundle %s: %w", src.Name, err)
		}
	}
	return nil, nil, fs.ErrNotExist
}

// missing returns a message that says what isn't there, which bundles lack it, and what to do. The go command shows 8
// lines and about 600 bytes of it.
func (p *Proxy) missing(n name) string {
	switch n.kind {
	case kindList, kindLatest:
		return fmt.Sprintf("no version of %s is in %s: if it is a module, add it with 'larder bundle create'", n.module.Path, p.bundles())
	case kindSupported, kindHead:
		return fmt.Sprintf("the checksum database %s is not in %s: make the bundle with GOSUMDB on", n.sumdb, p.bundles())
	case kindLookup:
		return fmt.Sprintf("the checksum database's record of %s is not in %s: if the module is private, name it in GONOSUMDB, else add it with 'larder bundle create'", n.module, p.bundles())
	case kindTile:
		return fmt.Sprintf("this tile of the checksum database %s is not in %s: your go command remembers a tree that they don't prove: remove pkg/sumdb/%s/latest below its GOPATH and try again", n.sumdb, p.bundles(), n.sumdb)
	}
	return fmt.Sprintf("%s of %s is not in %s: add it with 'larder bundle create', or ask for a version that /%s/@v/list names", n.kind, n.module, p.bundles(), n.escaped)
}

// bundles lists the names of the sources, but not all if they are many.
func (p *Proxy) bundles() string {
	const most = 200
	var names []string
	size := 0
	for i, src := range p.sources {
		if size += len(src.Name); size > most && i > 0 {
			names = append(names, fmt.Sprintf("%d more", len(p.sources)-i))
			break
		}
		names = append(names, src.Name)
	}
	switch len(names) {
	case 0:
		return "any bundle, as none is loaded"
	case 1:
		return "bundle " + names[0]
	}
	return "bundles " + strings.Join(names, ", ")
}
