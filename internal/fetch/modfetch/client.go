// Package modfetch gets files of modules from module proxies and GOPROXY folders, and checks them: the steps inside of a
// build that fetch use it, and so does whoever stocks a bundle. Nothing that it returns is to be trusted before the check
// of its h1 hash, and a checksum database is asked where no go.sum has one.
package modfetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/larder-build/larder/internal/fetch/retry"
)

// A Client gets files from sources, over networks that fail: it repeats what is worth repeating, goes on where a
// transfer broke off, and waits for nothing for ever.
type Client struct {
	http     *http.Client
	creds    Credentials
	say      Remedies
	policy   retry.Policy  // of one file
	headWait time.Duration // longest silence before an answer's header: a proxy may have to fetch the module itself
	stall    time.Duration // longest silence within an answer
}

// Remedies are what to do about errors, which depends on who fetches.
type Remedies struct {
	Missing     string // a file that nobody has: "use a proxy that serves it"
	CA          string // a server whose certificate authority isn't trusted
	Credentials string // a server that lets nobody in without, or not with those that it was sent
}

// maxIdle is how many connections to a proxy are kept for the next file.
const maxIdle = 16

// progressToRetry is how much a broken transfer must have brought for the count of tries to start anew.
const progressToRetry = 1 << 20

// NewClient returns a client that trusts the roots of Roots, with those in the file ca, and uses the HTTP proxies that the
// usual variables name. Requests are sent what creds has for them; nil has nothing. Errors end in what say has them say.
func NewClient(ca string, creds Credentials, say Remedies) (*Client, error) {
	roots, err := Roots(ca)
	if err != nil {
		return nil, err
	}
	if creds == nil {
		creds = none{}
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout: 15 * time.Second,
		MaxIdleConnsPerHost: maxIdle,
		DisableCompression:  true, // sizes and ranges are those of the file
		ForceAttemptHTTP2:   true,
	}
	throughProxies(transport, creds)
	return &Client{
		say:      say,
		creds:    creds,
		http:     &http.Client{CheckRedirect: (&redirects{creds}).check, Transport: transport},
		policy:   retry.Policy{Tries: 5, Backoff: 500 * time.Millisecond, MaxWait: time.Minute},
		headWait: 90 * time.Second,
		stall:    30 * time.Second,
	}, nil
}

// A Sink takes the bytes of one file. A failed transfer may leave some in it.
type Sink interface {
	io.WriterAt
	Truncate(size int64) error
}

// health is what is known of a source that many files come from: one that never answered isn't tried for each of them.
type health struct {
	answered atomic.Bool
	dead     atomic.Pointer[error]
}

// Get writes the file called name of src to w. A file that src hasn't got gives fs.ErrNotExist, one of more than limit
// bytes is an error. Errors don't tell src or name.
func (c *Client) Get(ctx context.Context, src *Source, name string, w Sink, limit int64) error {
	if src.url == nil {
		return copyFile(filepath.Join(src.dir, filepath.FromSlash(name)), w, limit)
	}
	if dead := src.state.dead.Load(); dead != nil {
		return *dead
	}
	var part partialDownload
	var most int64 // that any try brought
	for try := 1; ; try++ {
		err := c.try(ctx, src, name, w, limit, &part)
		var again *retry.TemporaryError
		if !errors.As(err, &again) || ctx.Err() != nil {
			return err
		}
		if part.size-most >= progressToRetry {
			most, try = part.size, 1
		}
		if err = c.policy.Next(ctx, try, err); err == nil {
			continue
		}
		if !src.state.answered.Load() && ctx.Err() == nil {
			src.state.dead.Store(&err)
		}
		return err
	}
}

// A partialDownload is how much of a file an earlier try brought, and the server's mark of the file's version.
type partialDownload struct {
	size      int64
	validator string
}

// try asks once, for the rest of a file whose beginning is there. Errors that another try may mend are retry.TemporaryErrors.
func (c *Client) try(ctx context.Context, src *Source, name string, w Sink, limit int64, part *partialDownload) error {
	req, err := src.request(ctx, name)
	if err != nil {
		return err
	}
	if part.validator == "" {
		part.size = 0
	}
	if part.size > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", part.size))
		req.Header.Set("If-Range", part.validator)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := part.begin(resp); err != nil {
		return err
	}
	notFound := resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone
	if resp.StatusCode/100 != 2 && !notFound {
		return c.statusError(resp, src.user)
	}
	src.state.answered.Store(true)
	if notFound {
		return notFoundError{resp.Status}
	}
	if err := w.Truncate(part.size); err != nil {
		return err
	}
	if resp.ContentLength > limit-part.size {
		return tooLarge(limit)
	}
	n, err := io.Copy(io.NewOffsetWriter(w, part.size), io.LimitReader(resp.Body, limit-part.size+1))
	part.size += n
	if part.size > limit {
		return tooLarge(limit)
	}
	return err
}

// begin reads from an answer's header whether it goes on from part or begins anew.
func (p *partialDownload) begin(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		p.size = 0
		p.validator = validator(resp.Header)
	case http.StatusPartialContent:
		var first, last, size int64
		_, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size)
		if err != nil || first != p.size || last != size-1 {
			p.validator = ""
			return &retry.TemporaryError{Err: errors.New("sent another range than was asked for")}
		}
	case http.StatusRequestedRangeNotSatisfiable:
		p.validator = ""
		return &retry.TemporaryError{Err: errors.New(resp.Status)}
	}
	return nil
}

// validator returns what If-Range may name: a weak ETag and a date of the same second may not.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

func (s *Source) request(ctx context.Context, name string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.JoinPath(name).String(), nil)
	if err != nil {
		return nil, errors.New("its URL can't be used")
	}
	if s.user != nil {
		password, _ := s.user.Password()
		req.SetBasicAuth(s.user.Username(), password)
	}
	return req, nil
}

// Guarded reports whether src is sent something of the user's own for the file called name, without which it might not give
// it: a user, a query that may be a token, or what the credentials have for it.
func (c *Client) Guarded(src *Source, name string) bool {
	if src.url == nil {
		return false
	}
	return src.user != nil || src.url.RawQuery != "" || len(c.creds.Header(src.url.JoinPath(name))) > 0
}

// copyFile copies a file of a GOPROXY folder.
func copyFile(file string, w Sink, limit int64) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.Truncate(0); err != nil {
		return err
	}
	n, err := io.Copy(io.NewOffsetWriter(w, 0), io.LimitReader(f, limit+1))
	if err == nil && n > limit {
		return tooLarge(limit)
	}
	return err
}

type notFoundError struct{ status string }

func (e notFoundError) Error() string   { return "it answered " + e.status }
func (e notFoundError) Is(t error) bool { return t == fs.ErrNotExist }

func tooLarge(limit int64) error {
	return fmt.Errorf("the file is larger than the %d bytes that the go command allows", limit)
}
