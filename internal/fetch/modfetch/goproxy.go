package modfetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/redact"
)

// A Source is a web server or a folder that files are fetched from.
type Source struct {
	Shown string        // its name for messages, without user, password and query
	url   *url.URL      // for http and https, without the user
	user  *url.Userinfo // credentials for that host alone
	dir   string        // for file
	state health
}

// An Entry is one entry of a GOPROXY list.
type Entry struct {
	*Source        // nil for off and direct
	Word    string // "off" or "direct"
	onError bool   // after any error of this entry the next is tried, not only where it hasn't got the file
}

// ParseList reads a GOPROXY list as the go command does. Errors name an entry by its number, because its text may hold
// a password.
func ParseList(list string) ([]Entry, error) {
	var entries []Entry
	for _, proxy := range gomod.ParseProxies(list) {
		if proxy.Word != "" {
			entries = append(entries, Entry{Word: proxy.Word})
			continue
		}
		src, err := newSource(proxy.URL)
		if err != nil {
			return nil, fmt.Errorf("entry %d of GOPROXY %w", proxy.Position, err)
		}
		entries = append(entries, Entry{Source: src, onError: proxy.AnyError})
	}
	if len(entries) == 0 {
		return nil, errors.New("GOPROXY has no entries: set it to the URL of a module proxy, such as https://proxy.golang.org")
	}
	return entries, nil
}

var errNotURL = errors.New("is not a URL: expected https://HOST/PATH, http://HOST/PATH, file:///PATH, direct or off; signs in a password must be written as %XX")

// parseSource returns the source at a URL, which may lack https://.
func parseSource(text string) (*Source, error) {
	u, _ := url.Parse(gomod.WithScheme(text)) // whose error quotes the text
	return newSource(u)
}

// newSource returns the source at a URL, or an error if that is nil.
func newSource(u *url.URL) (*Source, error) {
	if u == nil {
		return nil, errNotURL
	}
	shown := strings.TrimSuffix(redact.URL(u.String()), "/")
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" || u.Opaque != "" {
			return nil, errNotURL
		}
		src := &Source{url: u, user: u.User, Shown: shown}
		u.User, u.Fragment = nil, ""
		return src, nil
	case "file":
		if u.Host != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.Path, "/") {
			return nil, errors.New("is not a folder's URL: expected file:///PATH")
		}
		return &Source{dir: u.Path, Shown: shown}, nil
	}
	return nil, errNotURL
}

// ErrDirect is the error of Fetch where version control is to be asked next.
var ErrDirect = errors.New("next in GOPROXY is direct")

// Fetch writes the file called name to w, from the first entry of the list that has it, and returns that entry's
// source. As in the go command, the next entry is tried if one lacks the file (404, 410); after any other error only if
// a bar follows the entry. The error has the answers of all entries that were tried.
func Fetch(ctx context.Context, c *fetch.Client, list []Entry, name string, w Sink, limit int64) (*Source, error) {
	var said []error
	for _, p := range list {
		switch p.Word {
		case "off":
			return nil, giveUp(said, errors.New("GOPROXY=off forbids asking further: "+c.Remedies.Missing))
		case "direct":
			return nil, giveUp(said, ErrDirect)
		}
		err := p.Get(ctx, c, name, w, limit)
		if err == nil {
			return p.Source, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		said = append(said, fmt.Errorf("%s: %w", p.Shown, err))
		if !p.onError && !errors.Is(err, fs.ErrNotExist) {
			return nil, giveUp(said, nil)
		}
	}
	return nil, giveUp(said, errors.New("no other proxy is left in GOPROXY: "+c.Remedies.Missing))
}

// giveUp joins the answers of all proxies into one line.
func giveUp(said []error, last error) error {
	if last != nil {
		said = append(said, last)
	}
	return &saidError{said}
}

type saidError struct{ said []error }

func (e *saidError) Error() string {
	texts := make([]string, len(e.said))
	for i, err := range e.said {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e *saidError) Unwrap() []error { return e.said }
