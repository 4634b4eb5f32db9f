// Package credentials knows the credentials for a request to a URL. It reads them from the texts that users already
// keep for the go command and for git, so that builds need no other form: a netrc, the output of a GOAUTH command, and
// a git config. It reads no files and asks nobody.
package credentials

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Files are the texts that a Store is made from. A text is nil if there is none.
type Files struct {
	Netrc     []byte // machine, login and password, as the go command reads it
	GoAuth    []byte // the output of a GOAUTH command: see 'go help goauth'
	GitConfig []byte // url.BASE.insteadOf, and http.URL.extraHeader
}

// A Store has the credentials for some URLs, and git's rules that rewrite URLs. The zero Store has none.
type Store struct {
	rules    []rule // the best first
	rewrites []rewrite
	secrets  []string // the longest first
}

// A rule has the headers for requests to all URLs below one URL.
type rule struct {
	scheme  string // http or https
	host    string // with the port, where it isn't the scheme's own
	anyPort bool   // host is a machine's name: what listens at another port of it is meant too
	path    string // of the URLs' beginning, "/" for all
	source  source
	header  http.Header
	user    *url.Userinfo // of a netrc
}

type source int

// These are the sources of rules. Of two rules for one URL, the one of the earlier source applies.
const (
	fromGitConfig source = iota
	fromGoAuth
	fromNetrc
)

// An Error is the error of a line that can't be read. Neither it nor Err quotes the line.
type Error struct {
	File string // netrc, goauth or gitconfig
	Line int    // from 1
	Err  error
}

// Error implements error. It names the file as a secret of the build.
func (e *Error) Error() string { return fmt.Sprintf("secret %s, line %d: %v", e.File, e.Line, e.Err) }

// Unwrap returns the error in the line.
func (e *Error) Unwrap() error { return e.Err }

// Parse reads the files. Its errors are of the type Error.
func Parse(files Files) (*Store, error) {
	s := &Store{}
	for _, read := range []func() error{
		func() error { return s.readNetrc(string(files.Netrc)) },
		func() error { return s.readGoAuth(string(files.GoAuth)) },
		func() error { return s.readGitConfig(string(files.GitConfig)) },
	} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(s.rules, func(a, b rule) int {
		if c := len(b.path) - len(a.path); c != 0 {
			return c
		}
		if a.anyPort != b.anyPort {
			return cmp.Compare(b2i(a.anyPort), b2i(b.anyPort))
		}
		return cmp.Compare(a.source, b.source)
	})
	slices.SortStableFunc(s.rewrites, func(a, b rewrite) int { return len(b.insteadOf) - len(a.insteadOf) })
	slices.SortFunc(s.secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	s.secrets = slices.Compact(s.secrets)
	return s, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Header returns the headers with the credentials for u, or nil. If several rules apply, the one with the longest
// prefix of u wins, counted in whole elements of the path. Rules from a netrc and GOAUTH apply to https only, as in the
// go command. Over http it sends only headers that a git config gives for a URL which itself begins with http://.
func (s *Store) Header(u *url.URL) http.Header {
	if s == nil {
		return nil
	}
	scheme, host, dir := place(u)
	for _, r := range s.rules {
		if r.scheme == scheme && r.isFor(host, u) && below(dir, r.path) {
			return r.header.Clone()
		}
	}
	return nil
}

// Proxy returns the user and password that a netrc has for an HTTP proxy, or nil. Unlike those for servers, they are
// also sent over http, because that is how clients reach proxies.
func (s *Store) Proxy(u *url.URL) *url.Userinfo {
	if s == nil {
		return nil
	}
	_, host, _ := place(u)
	for _, r := range s.rules {
		if r.user != nil && r.path == "/" && r.isFor(host, u) {
			return r.user
		}
	}
	return nil
}

// isFor reports whether a rule is for the host of a URL. The parameter host is the URL's host in the form that rules
// have.
func (r rule) isFor(host string, u *url.URL) bool {
	return r.host == host || r.anyPort && r.host == strings.ToLower(u.Hostname())
}

// place returns a URL's scheme, host and path in the form that rules have them in.
func place(u *url.URL) (scheme, host, dir string) {
	scheme, host = strings.ToLower(u.Scheme), strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && !(scheme == "https" && port == "443") && !(scheme == "http" && port == "80") {
		host += ":" + port
	}
	return scheme, host, path.Clean("/" + u.Path)
}

// below reports whether a path is prefix, or lies below it.
func below(dir, prefix string) bool {
	rest, ok := strings.CutPrefix(dir, strings.TrimSuffix(prefix, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// minSecret is the least length of a word that is looked for: any text may contain a shorter one.
const minSecret = 4

// Secrets returns every word that must not be shown: passwords, tokens and values of headers, also in the forms that
// they have in a URL and in a header. The longest come first.
func (s *Store) Secrets() []string {
	if s == nil {
		return nil
	}
	return slices.Clone(s.secrets)
}

// Redact writes xxxxx for every secret in a text.
func (s *Store) Redact(text string) string {
	if s == nil {
		return text
	}
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "xxxxx")
	}
	return text
}

func (s *Store) addSecret(words ...string) {
	for _, w := range words {
		if len(w) >= minSecret {
			s.secrets = append(s.secrets, w)
		}
	}
}

// basic returns the header for a user and password, and adds them to the secrets. Some servers take a token as the
// user, with no password or with x-oauth-basic.
func (s *Store) basic(user, password string) http.Header {
	both := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	s.addSecret(both)
	secret := password
	if password == "" || password == "x-oauth-basic" {
		secret = user
	}
	s.addSecret(secret, url.QueryEscape(secret), url.PathEscape(secret), strings.TrimPrefix(url.UserPassword("", secret).String(), ":"))
	return http.Header{"Authorization": {"Basic " + both}}
}

// addHeader adds a header to h, and adds its value to the secrets, both whole and without the name of the scheme.
func (s *Store) addHeader(h http.Header, name, value string) {
	h.Add(name, value)
	s.addSecret(value)
	scheme, rest, ok := strings.Cut(value, " ")
	if !ok {
		return
	}
	rest = strings.TrimSpace(rest)
	s.addSecret(rest)
	if strings.EqualFold(scheme, "basic") {
		if both, err := base64.StdEncoding.DecodeString(rest); err == nil {
			user, password, _ := strings.Cut(string(both), ":")
			s.basic(user, password)
		}
	}
}
