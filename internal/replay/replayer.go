package replay

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// A Miss is a request that a recording can't answer, or that couldn't be recorded.
type Miss struct {
	Method string
	URL    string // cleaned
	Step   string // FILE:LINE; empty if that isn't known
	Why    string
}

// String returns all fields in one line.
func (m Miss) String() string {
	where := ""
	if m.Step != "" {
		where = m.Step + ": "
	}
	return where + m.Method + " " + m.URL + ": " + m.Why
}

// maxMisses is how many misses are remembered: a step may try again for ever.
const maxMisses = 1000

// misses remembers each miss once, in the order of their first occurrence.
type misses struct {
	mu   sync.Mutex
	list []Miss
}

func (m *misses) add(miss Miss) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) < maxMisses && !slices.Contains(m.list, miss) {
		m.list = append(m.list, miss)
	}
}

func (m *misses) all() []Miss {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

// These are the reasons for refusing a request, both for recording and for replaying.
const (
	onlyReads  = "only GET and HEAD can be recorded and replayed"
	noUpgrades = "only HTTP requests can be recorded and replayed, not what starts as one"
)

// unfit returns the reason why a request can be neither recorded nor replayed, or "".
func unfit(r *http.Request) string {
	switch {
	case r.Method == http.MethodConnect:
		return "what is spoken there is neither HTTP nor TLS, and only HTTP can be recorded and replayed"
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return onlyReads
	case r.Header.Get("Upgrade") != "":
		return noUpgrades
	}
	return ""
}

// A Replayer answers requests from a recording, and from nothing else. Requests have whole URLs, as those to a proxy have.
type Replayer struct {
	// Step returns the step that sent a request. If it is nil, steps aren't known.
	Step func(r *http.Request) string
	// Answered is called for each answer, and Missed for each request without an answer. Either may be nil.
	Answered func(r *http.Request, a Answer)
	Missed   func(r *http.Request, m Miss)

	fsys    fs.FS
	index   Index
	answers map[string][]int // by URL
	misses  misses

	mu      sync.Mutex
	checked map[digest.Digest]error // of bodies
}

// Open reads the index of a recording. Bodies are checked when they are first asked for.
func Open(fsys fs.FS) (*Replayer, error) {
	x, err := ReadFolder(fsys)
	if err != nil {
		return nil, err
	}
	p := &Replayer{fsys: fsys, index: x, answers: make(map[string][]int, len(x.Answers)), checked: map[digest.Digest]error{}}
	for i, a := range x.Answers {
		p.answers[a.URL] = append(p.answers[a.URL], i)
	}
	return p, nil
}

// Index returns the index of the recording.
func (p *Replayer) Index() Index { return p.index }

// Missing lists the requests so far that had no answer.
func (p *Replayer) Missing() []Miss { return p.misses.all() }

// ServeHTTP implements http.Handler.
func (p *Replayer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := Clean(r.URL)
	a, why := p.find(r, name)
	var body io.ReadSeeker
	if why == "" && a.Digest != "" {
		f, err := p.body(a)
		if err != nil {
			why = err.Error()
		} else {
			defer f.Close()
			body = f
		}
	}
	if why != "" {
		p.refuse(w, r, name, why)
		return
	}
	if p.Answered != nil {
		p.Answered(r, a)
	}
	give(w, r, a, body)
}

// refuse answers a request with 403. Clients take that for final, while some try again for minutes after other errors,
// and some take a 404 for an answer.
func (p *Replayer) refuse(w http.ResponseWriter, r *http.Request, name, why string) {
	m := Miss{Method: r.Method, URL: name, Why: why}
	if p.Step != nil {
		m.Step = p.Step(r)
	}
	p.misses.add(m)
	if p.Missed != nil {
		p.Missed(r, m)
	}
	forbid(w, m)
}

func forbid(w http.ResponseWriter, m Miss) {
	m.Step = ""
	w.Header().Set("Connection", "close") // there may be a body that nobody reads
	http.Error(w, "larder: "+m.String(), http.StatusForbidden)
}

// find returns the answer to a request, or why there is none.
func (p *Replayer) find(r *http.Request, name string) (a Answer, why string) {
	if why := unfit(r); why != "" {
		return a, why
	}
	found := -1
	for _, i := range p.answers[name] {
		if has := p.index.Answers[i].Accept; has == r.Header.Get("Accept") || has == "" && found < 0 {
			found = i
		}
	}
	switch {
	case len(p.answers[name]) == 0:
		why = "it was not recorded"
		if len(p.index.Platforms) > 0 {
			why += " (what was recorded is for " + strings.Join(p.index.Platforms, ", ") + ")"
		}
		return a, why
	case found < 0:
		return a, fmt.Sprintf("it was recorded for another Accept header than %q", r.Header.Get("Accept"))
	}
	a = p.index.Answers[found]
	if a.Digest == "" && r.Method == http.MethodGet && !redirects(a.Status) {
		return a, "only a HEAD of it was recorded"
	}
	return a, ""
}

// A file is a file from which bodies are read.
type file interface {
	fs.File
	io.ReadSeeker
}

// body opens a body, and checks its bytes against the index.
func (p *Replayer) body(a Answer) (file, error) {
	opened, err := p.fsys.Open(BodyName(a.Digest))
	if err != nil {
		return nil, errors.New("the recording lacks its body: it is damaged")
	}
	f, ok := opened.(file)
	if !ok {
		return nil, errors.Join(errors.New("the recording can't be read at any place"), opened.Close())
	}
	if err := p.check(f, a); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (p *Replayer) check(f file, a Answer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err, known := p.checked[a.Digest]
	if !known {
		v := a.Digest.Verifier()
		n, rerr := io.Copy(v, io.LimitReader(f, a.Size+1))
		switch {
		case rerr != nil:
			return rerr
		case n != a.Size || !v.Verified():
			err = errors.New("the body in the recording is another than its index says: don't use it")
		}
		p.checked[a.Digest] = err
	}
	if err != nil {
		return err
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// give writes an answer, or the part of it that was asked for.
func give(w http.ResponseWriter, r *http.Request, a Answer, body io.ReadSeeker) {
	header := w.Header()
	header["Content-Type"] = nil // it is not to be guessed
	for name, value := range a.Header {
		header.Set(name, value)
	}
	if a.Status == http.StatusOK && body != nil {
		modified, err := http.ParseTime(a.Header["Last-Modified"])
		if err != nil {
			modified = time.Time{}
		}
		http.ServeContent(w, r, "", modified, body)
		return
	}
	if a.Size >= 0 && a.Status != http.StatusNoContent {
		header.Set("Content-Length", strconv.FormatInt(a.Size, 10))
	}
	w.WriteHeader(a.Status)
	if body != nil && r.Method == http.MethodGet {
		_, _ = io.Copy(w, body) // who asked may have gone
	}
}
