// Package modfetch gets files of modules from module proxies and GOPROXY folders, and checks them. Build steps that
// fetch use it, and so does the code that makes bundles. Its results may not be trusted before the check of their h1
// hash; the expected hash is from go.sum, or from a checksum database where no go.sum has one.
package modfetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/larder-build/larder/internal/fetch"
)

// progressToRetry is the number of bytes that a broken transfer must have brought so that the count of tries starts
// anew.
const progressToRetry = 1 << 20

// A Sink takes the bytes of one file. A failed transfer may leave some in it.
type Sink interface {
	io.WriterAt
	Truncate(size int64) error
}

// health is what is known about a source of many files. If it never answered, it isn't asked again for each of them.
type health struct {
	answered atomic.Bool
	dead     atomic.Pointer[error]
}

// Get writes a file of the source to w. It continues where a transfer broke off. A missing file is fs.ErrNotExist, and
// a file of more than limit bytes is an error. Errors don't name the source or the file.
func (src *Source) Get(ctx context.Context, c *fetch.Client, name string, w Sink, limit int64) error {
	if src.url == nil {
		return copyFile(filepath.Join(src.dir, filepath.FromSlash(name)), w, limit)
	}
	if dead := src.state.dead.Load(); dead != nil {
		return *dead
	}
	var part partialDownload
	var most int64 // that any try brought
	for try := 1; ; try++ {
		err := src.try(ctx, c, name, w, limit, &part)
		var again *fetch.TemporaryError
		if !errors.As(err, &again) || ctx.Err() != nil {
			return err
		}
		if part.size-most >= progressToRetry {
			most, try = part.size, 1
		}
		if err = c.Policy.Next(ctx, try, err); err == nil {
			continue
		}
		if !src.state.answered.Load() && ctx.Err() == nil {
			src.state.dead.Store(&err)
		}
		return err
	}
}

// A partialDownload is the size of what earlier tries brought of a file, and the server's validator for the file's
// version.
type partialDownload struct {
	size      int64
	validator string
}

// try sends one request, for the part of a file that is missing. An error is a fetch.TemporaryError if another try may
// succeed.
func (src *Source) try(ctx context.Context, c *fetch.Client, name string, w Sink, limit int64, part *partialDownload) error {
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
	client := src.client(c)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := part.begin(resp); err != nil {
		return err
	}
	err = client.StatusError(resp)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		src.state.answered.Store(true)
	}
	var refused *fetch.RefusedError
	if src.user != nil && errors.As(err, &refused) {
		refused.Remedy = "check the user and password in GOPROXY"
	}
	if err != nil {
		return err
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

// begin reads from an answer's header whether the answer continues the part or starts from the beginning.
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
			return &fetch.TemporaryError{Err: errors.New("sent another range than was asked for")}
		}
	case http.StatusRequestedRangeNotSatisfiable:
		p.validator = ""
		return &fetch.TemporaryError{Err: errors.New(resp.Status)}
	}
	return nil
}

// validator returns the value for a later If-Range. A weak ETag may not be used, nor a date of the same second.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

func (src *Source) request(ctx context.Context, name string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, src.url.JoinPath(name).String(), nil)
	if err != nil {
		return nil, errors.New("its URL can't be used")
	}
	return req, nil
}

// client returns the client for the source. It sends the user in the source's URL rather than other credentials.
func (src *Source) client(c *fetch.Client) *fetch.Client {
	if src.user == nil {
		return c
	}
	return c.With(&userOf{src.url, src.user})
}

// A userOf is the user of one host, from the URL of a source.
type userOf struct {
	at   *url.URL
	user *url.Userinfo
}

// Header implements fetch.Credentials.
func (u *userOf) Header(at *url.URL) http.Header {
	if at.Host != u.at.Host || at.Scheme != u.at.Scheme {
		return nil
	}
	password, _ := u.user.Password()
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(u.user.Username(), password)
	return req.Header
}

// Proxy implements fetch.Credentials.
func (u *userOf) Proxy(*url.URL) *url.Userinfo { return nil }

// Redact implements fetch.Credentials. If a text repeats the user, which may be a token, nothing of the text is left.
func (u *userOf) Redact(text string) string {
	password, _ := u.user.Password()
	_, basic, _ := strings.Cut(u.Header(u.at).Get("Authorization"), " ")
	for _, secret := range []string{u.user.Username(), password, basic} {
		if secret != "" && strings.Contains(text, secret) {
			return ""
		}
	}
	return text
}

// Guarded reports whether a request for a file has something secret, without which the source might refuse it: a user,
// a query that may be a token, or the credentials for it.
func (src *Source) Guarded(c *fetch.Client, name string) bool {
	if src.url == nil {
		return false
	}
	creds := src.client(c).Credentials
	return src.url.RawQuery != "" || creds != nil && len(creds.Header(src.url.JoinPath(name))) > 0
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

func tooLarge(limit int64) error {
	return fmt.Errorf("the file is larger than the %d bytes that the go command allows", limit)
}
