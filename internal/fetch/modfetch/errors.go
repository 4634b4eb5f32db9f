package modfetch

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/fetch/retry"
	"golang.org/x/net/http2"
)

func silence(d time.Duration) error {
	return &retry.TemporaryError{Err: fmt.Errorf("it sent nothing for %v", d)}
}

// networkError says why a request got no answer, or only a part of one, without the URL that net/http quotes: after a
// redirect that may be a signed one.
func (c *Client) networkError(ctx context.Context, err error) error {
	var temporary *retry.TemporaryError
	if cause := context.Cause(ctx); cause != nil {
		if errors.As(cause, &temporary) {
			return temporary
		}
		return cause
	}
	var quoting *url.Error
	if errors.As(err, &quoting) {
		err = quoting.Err
	}
	var cert *tls.CertificateVerificationError
	var dns *net.DNSError
	var stream http2.StreamError
	switch {
	case errors.Is(err, errProxyRefuses):
		return c.proxyRefused()
	case errors.As(err, &cert):
		return fmt.Errorf("%w: %s", err, c.say.CA)
	case errors.As(err, &dns) && dns.IsNotFound, errors.Is(err, errRedirect):
		return OneLine(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the transfer broke off: %w", err)
	case errors.As(err, &stream):
		err = fmt.Errorf("the transfer broke off: %v", stream.Code)
	case errors.Is(err, io.EOF):
		err = errors.New("it closed the connection without an answer")
	}
	return &retry.TemporaryError{Err: OneLine(err)}
}

// statusError makes an error of an answer's status, and of its first line of text: proxies say there why they refuse.
// user is that of the URL.
func (c *Client) statusError(resp *http.Response, user *url.Userinfo) error {
	if resp.StatusCode == http.StatusProxyAuthRequired {
		return c.proxyRefused()
	}
	text := "it answered " + resp.Status
	if line := firstLine(resp); line != "" && !quotes(line, user) {
		text += fmt.Sprintf(" (%q)", c.creds.Redact(line))
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return &RefusedError{text: text, remedy: c.remedy(resp.Request, user)}
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		after := retry.After(resp.Header.Get("Retry-After"), time.Now())
		return &retry.TemporaryError{Err: errors.New(text), After: after}
	}
	return errors.New(text)
}

// A RefusedError is a server that lets nobody in without credentials, or not with those that it was sent.
type RefusedError struct{ text, remedy string }

// Error implements error.
func (e *RefusedError) Error() string { return e.text + ": " + e.remedy }

// remedy says what to do about a request that a server refused.
func (c *Client) remedy(req *http.Request, user *url.Userinfo) string {
	host := req.URL.Host
	switch sent := len(c.creds.Header(req.URL)) > 0; {
	case user != nil:
		return "check the user and password in GOPROXY"
	case sent:
		return fmt.Sprintf("%s refuses the credentials that were given for it: check them; %s", host, c.say.Credentials)
	case req.URL.Scheme == "http":
		return fmt.Sprintf("%s wants credentials, which aren't sent over http: use https", host)
	}
	return fmt.Sprintf("no credentials were given for %s: %s", host, c.say.Credentials)
}

func firstLine(resp *http.Response) string {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	head, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // no more than a hint: a part of it is one too
	line, _, _ := strings.Cut(string(head), "\n")
	return strings.TrimSpace(line)
}

// quotes reports whether a line repeats a URL's user or password, or the header that was made of them.
func quotes(line string, user *url.Userinfo) bool {
	if user == nil {
		return false
	}
	password, _ := user.Password()
	header := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
	return slices.ContainsFunc([]string{user.Username(), password, header}, func(part string) bool {
		return part != "" && strings.Contains(line, part)
	})
}

// MaxReported is how many files that failed are told, one line each.
const MaxReported = 10

// Summarize joins the errors of many files, sorted, so that the same failures read the same, and bounded. It is nil for
// none.
func Summarize(failed []error) error {
	slices.SortFunc(failed, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	// A module's zip and its go.mod file fail alike.
	failed = slices.CompactFunc(failed, func(a, b error) bool { return a.Error() == b.Error() })
	if n := len(failed); n > MaxReported {
		failed = append(failed[:MaxReported:MaxReported], fmt.Errorf("and %d more", n-MaxReported))
	}
	return errors.Join(failed...)
}
