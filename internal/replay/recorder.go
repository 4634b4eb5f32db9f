package replay

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/opencontainers/go-digest"
)

// A Recorder passes requests on and keeps the answers in a folder. It doesn't ask a server again for an answer that it
// has kept. So answers that belong together, such as a list of packages and its signature, are from the same time.
// Requests have whole URLs.
type Recorder struct {
	// Step returns the step that sent a request. If it is nil, steps aren't known.
	Step func(r *http.Request) string

	upstream http.RoundTripper
	dir      string
	bounds   bounds
	running  sync.WaitGroup
	stopped  context.Context
	stop     context.CancelFunc
	misses   misses

	mu      sync.Mutex
	answers map[key]*answer
	bodies  map[digest.Digest]int64 // bytes
	total   int64                   // of bodies, those that are being written too
	err     error                   // the first that makes the recording useless
}

type key struct{ url, accept string }

// An answer is a recorded answer, with a hash of the request's URL including its secrets. The hash never leaves this
// process.
type answer struct {
	Answer
	asked [sha256.Size]byte
}

// bounds are limits for servers that never end.
type bounds struct {
	body, total int64 // bytes
	answers     int
	stall       time.Duration // that a server may be silent
	finish      time.Duration // that bodies may take which nobody waits for any more
}

var usual = bounds{body: 16 << 30, total: 64 << 30, answers: maxAnswers, stall: 2 * time.Minute, finish: 30 * time.Second}

// NewRecorder returns a recorder that writes into a folder, which it makes. The caller must call Finish.
func NewRecorder(dir string, upstream http.RoundTripper) (*Recorder, error) {
	if err := os.MkdirAll(filepath.Join(dir, "sha256"), 0o755); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	r := &Recorder{upstream: upstream, dir: dir, bounds: usual, answers: map[key]*answer{}, bodies: map[digest.Digest]int64{}}
	r.stopped, r.stop = context.WithCancel(context.Background())
	return r, nil
}

// Finish waits for bodies that are still arriving, writes the index and returns it. It returns an error that makes the
// recording useless, such as a full disk.
func (r *Recorder) Finish(platforms []string) (Index, error) {
	late := time.AfterFunc(r.bounds.finish, r.stop)
	defer late.Stop()
	r.running.Wait()
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	x := Index{Platforms: platforms}
	for _, a := range r.answers {
		x.Answers = append(x.Answers, a.Answer)
	}
	slices.SortFunc(x.Answers, compareAnswers)
	if r.err != nil {
		return x, fmt.Errorf("recording: %w", r.err)
	}
	return x, atomicfile.WriteBy(filepath.Join(r.dir, IndexName), func(f *os.File) error { return errors.Join(x.Write(f), f.Sync()) })
}

// Lost lists the requests so far whose answers couldn't be kept.
func (r *Recorder) Lost() []Miss { return r.misses.all() }

// ServeHTTP implements http.Handler.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.running.Add(1)
	defer r.running.Done()
	if why := unfit(req); why != "" {
		forbid(w, r.lose(req, why))
		return
	}
	if a := r.again(req); a != nil {
		f, err := os.Open(filepath.Join(r.dir, BodyName(a.Digest)))
		if err == nil {
			defer f.Close()
			give(w, req, a.Answer, f)
			return
		}
	}
	if err := r.pass(w, req); err != nil {
		r.lose(req, err.Error())
		panic(http.ErrAbortHandler) // who asked must not take a part for the whole
	}
}

// lose records that the answer to a request isn't kept.
func (r *Recorder) lose(req *http.Request, why string) Miss {
	m := Miss{Method: req.Method, URL: Clean(req.URL), Step: r.step(req), Why: why}
	r.misses.add(m)
	return m
}

func (r *Recorder) step(req *http.Request) string {
	if r.Step == nil {
		return ""
	}
	return r.Step(req)
}

// again returns the kept answer to a request that was sent before with the same secrets. It returns nil for errors and
// redirects, which are requested anew: a redirect may carry a secret of its own, which isn't kept.
func (r *Recorder) again(req *http.Request) *answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := Clean(req.URL)
	for _, k := range []key{{name, req.Header.Get("Accept")}, {name, ""}} {
		if a := r.answers[k]; a != nil && a.Status == http.StatusOK && a.Digest != "" && a.asked == asked(req) {
			return a
		}
	}
	return nil
}

// asked returns a hash of a request's URL and credentials, which tells requests apart whose recorded URL is the same.
func asked(req *http.Request) [sha256.Size]byte {
	return sha256.Sum256([]byte(req.URL.String() + "\n" + req.Header.Get("Authorization")))
}

// hop are the headers of a request that concern only a client and its proxy, and those that ask for a part: a kept
// answer is whole, and not compressed for one client.
var hop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding",
	"Accept-Encoding", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
}

// pass sends a request to the server, passes its answer on and keeps it.
func (r *Recorder) pass(w http.ResponseWriter, req *http.Request) error {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(req.Context())) // what nobody waits for is kept all the same
	defer cancel(nil)
	defer context.AfterFunc(r.stopped, func() { cancel(errors.New("the build was over before the answer was")) })()
	out := req.Clone(ctx)
	out.RequestURI, out.Host, out.Body, out.ContentLength = "", "", nil, 0
	for _, name := range hop {
		out.Header.Del(name)
	}
	stall := time.AfterFunc(r.bounds.stall, func() { cancel(fmt.Errorf("the server was silent for %v", r.bounds.stall)) })
	defer stall.Stop()
	resp, err := r.upstream.RoundTrip(out)
	if err != nil {
		m := r.lose(req, cmp.Or(context.Cause(ctx), withoutURL(err)).Error())
		w.Header().Set("Connection", "close")
		http.Error(w, "larder: "+m.Why, http.StatusBadGateway)
		return nil
	}
	defer resp.Body.Close()
	body := &alive{resp.Body, stall, r.bounds.stall}
	if part := req.Header.Get("Range") != "" || req.Header.Get("If-None-Match") != "" || req.Header.Get("If-Modified-Since") != ""; part && resp.StatusCode == http.StatusOK && req.Method == http.MethodGet {
		return r.passPart(w, req, resp, body)
	}
	to := client{w: w}
	to.header(resp)
	_, err = r.keep(req, resp, io.TeeReader(body, &to))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// passPart keeps the whole body and passes on the requested part of it.
func (r *Recorder) passPart(w http.ResponseWriter, req *http.Request, resp *http.Response, body io.Reader) error {
	a, err := r.keep(req, resp, body)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(r.dir, BodyName(a.Digest)))
	if err != nil {
		return err
	}
	defer f.Close()
	give(w, req, a, f)
	return nil
}

// keep reads a body into its file, and keeps the answer if it may be kept.
func (r *Recorder) keep(req *http.Request, resp *http.Response, body io.Reader) (Answer, error) {
	a := Answer{URL: Clean(req.URL), Status: resp.StatusCode, Header: headers(req.URL, resp.Header), Size: resp.ContentLength, Step: r.step(req), Time: time.Now().UTC().Truncate(time.Second)}
	if varies(resp.Header) {
		a.Accept = req.Header.Get("Accept")
	}
	if never(resp.StatusCode) {
		r.lose(req, fmt.Sprintf("the server answered %s, which isn't kept", resp.Status))
		_, err := io.Copy(io.Discard, io.LimitReader(body, r.bounds.body))
		return a, err
	}
	if redirects(resp.StatusCode) {
		a.Size = 0 // its body repeats where it leads, with what must not be kept
		if _, err := io.Copy(io.Discard, io.LimitReader(body, r.bounds.body)); err != nil {
			return a, err
		}
	} else if req.Method == http.MethodGet {
		var err error
		if a.Digest, a.Size, err = r.body(body); err != nil {
			return a, err
		}
	}
	if err := a.check(); err != nil {
		return a, fmt.Errorf("the answer can't be kept: %w", err)
	}
	return a, r.put(a, asked(req))
}

// varies reports whether an answer depends on the Accept header. Accept-Encoding doesn't matter, because it isn't
// passed on.
func varies(h http.Header) bool {
	for name := range strings.SplitSeq(strings.Join(h.Values("Vary"), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(name), "Accept") {
			return true
		}
	}
	return false
}

// headers returns the headers that are kept. A Location becomes absolute, without secrets.
func headers(base *url.URL, from http.Header) map[string]string {
	out := map[string]string{}
	for _, name := range kept {
		value := strings.Join(from.Values(name), ", ")
		if name == "Location" && value != "" {
			value = cleanText(base, value)
		}
		if value != "" {
			out[name] = value
		}
	}
	return out
}

// put keeps an answer, unless there is a better one.
func (r *Recorder) put(a Answer, by [sha256.Size]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key{a.URL, a.Accept}
	old := r.answers[k]
	switch {
	case old == nil && len(r.answers) >= r.bounds.answers:
		r.fail(fmt.Errorf("more than %d URLs were asked for", r.bounds.answers))
		return r.err
	case old == nil:
	case old.Status < 400 && a.Status >= 400, old.Digest != "" && a.Digest == "" && old.Status < 400:
		return nil
	case old.Status == http.StatusOK && a.Status == http.StatusOK && old.Digest != "" && old.Digest != a.Digest:
		r.misses.add(Miss{Method: http.MethodGet, URL: a.URL, Step: a.Step, Why: "it was answered in two ways, of which the first is kept: by another token, or the server changed meanwhile"})
		return nil
	}
	r.answers[k] = &answer{a, by}
	return nil
}

// body reads a body into the file named by its digest.
func (r *Recorder) body(from io.Reader) (d digest.Digest, size int64, err error) {
	f, err := os.CreateTemp(r.dir, ".body-*")
	if err != nil {
		return "", 0, r.broken(err)
	}
	defer os.Remove(f.Name()) // unless it has its name
	sum := sha256.New()
	room := &meter{r: r, to: io.MultiWriter(f, sum)}
	_, err = io.Copy(room, from)
	if cerr := f.Close(); cerr != nil && room.err == nil {
		room.err = cerr
	}
	d = digest.NewDigestFromBytes(digest.SHA256, sum.Sum(nil))
	r.mu.Lock()
	defer r.mu.Unlock()
	_, have := r.bodies[d]
	if have || err != nil || room.err != nil {
		r.total -= room.size
	}
	if room.err != nil {
		r.fail(room.err)
		return "", 0, room.err
	}
	if err != nil {
		return "", 0, withoutURL(err)
	}
	if !have {
		if err := os.Rename(f.Name(), filepath.Join(r.dir, BodyName(d))); err != nil {
			r.fail(err)
			return "", 0, err
		}
		r.bodies[d] = room.size
	}
	return d, room.size, nil
}

// broken records an error of this machine, and returns it.
func (r *Recorder) broken(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(err)
	return err
}

// fail notes an error that makes the recording useless. The caller has the lock.
func (r *Recorder) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// A meter writes a body as long as there is room for it.
type meter struct {
	r    *Recorder
	to   io.Writer
	size int64
	err  error // of writing, which is this machine's fault
}

func (m *meter) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	m.r.mu.Lock()
	m.r.total += int64(len(p))
	full := m.r.total > m.r.bounds.total
	m.r.mu.Unlock()
	switch {
	case full:
		m.err = fmt.Errorf("all that was asked for has more than %d bytes", m.r.bounds.total)
	case m.size > m.r.bounds.body:
		return 0, fmt.Errorf("the answer has more than %d bytes, or never ends", m.r.bounds.body)
	default:
		_, m.err = m.to.Write(p)
	}
	if m.err != nil {
		return 0, m.err
	}
	return len(p), nil
}

// alive is the body of a server's answer. Each read has its own time limit for the server; time that the client takes
// doesn't count.
type alive struct {
	io.Reader
	stall *time.Timer
	limit time.Duration
}

func (a *alive) Read(p []byte) (int, error) {
	a.stall.Reset(a.limit)
	defer a.stall.Stop()
	return a.Reader.Read(p)
}

// A client is the writer of an answer to a client. After the client has gone, it drops what is written.
type client struct {
	w    http.ResponseWriter
	gone bool
}

func (c *client) header(resp *http.Response) {
	for name, values := range resp.Header {
		if !slices.Contains(hop, name) {
			c.w.Header()[name] = values
		}
	}
	if resp.Header.Get("Content-Type") == "" {
		c.w.Header()["Content-Type"] = nil
	}
	if resp.ContentLength >= 0 && resp.StatusCode != http.StatusNoContent {
		c.w.Header().Set("Content-Length", fmt.Sprint(resp.ContentLength))
	}
	c.w.WriteHeader(resp.StatusCode)
}

func (c *client) Write(p []byte) (int, error) {
	if !c.gone {
		_, err := c.w.Write(p)
		c.gone = err != nil || http.NewResponseController(c.w).Flush() != nil
	}
	return len(p), nil
}

// withoutURL removes the URL, which may have a token, from an error of the HTTP client.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
