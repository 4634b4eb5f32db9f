package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http2"
)

// ErrClosed says that a server closed the connection before the first byte of its answer.
var ErrClosed = errors.New("it closed the connection without an answer")

// networkError returns an error that says why a request got no answer, or only a part of one. It leaves out the URL
// that net/http quotes.
func networkError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause // silence, or the caller's end
	}
	var quoting *url.Error
	if errors.As(err, &quoting) {
		err = quoting.Err
	}
	var cert *tls.CertificateVerificationError
	var dns *net.DNSError
	var redirect *RedirectError
	var stream http2.StreamError
	switch {
	case errors.As(err, &cert), errors.As(err, &dns) && dns.IsNotFound, errors.As(err, &redirect), errors.Is(err, errProxyRefuses):
		return OneLine(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the transfer broke off: %w", err)
	case errors.As(err, &stream):
		err = fmt.Errorf("the transfer broke off: %v", stream.Code)
	case errors.Is(err, io.EOF):
		err = ErrClosed
	}
	return &TemporaryError{Err: OneLine(err)}
}

// add adds advice to an error of Policy.Send.
func (r Remedies) add(err error) error {
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errProxyRefuses):
		return r.proxyRefused()
	case errors.As(err, &cert):
		return fmt.Errorf("%w: %s", err, r.CA)
	}
	return err
}

func (r Remedies) proxyRefused() error {
	return fmt.Errorf("%w: it wants a user and password, or others than it was sent: %s", errProxyRefuses, r.Credentials)
}

// StatusError returns an error for an answer's status, or nil for 2xx. The error is fs.ErrNotExist for 404 and 410, a
// RefusedError if the server requires credentials, and a TemporaryError if another try may succeed. Except for 404 and
// 410 it has the first line of the answer's text, in which proxies say why they refuse.
func (c *Client) StatusError(resp *http.Response) error {
	text := "it answered " + resp.Status
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return notFoundError(text)
	case http.StatusProxyAuthRequired:
		return c.Remedies.proxyRefused()
	}
	if resp.StatusCode/100 == 2 {
		return nil
	}
	if line := orNone(c.Credentials).Redact(firstLine(resp)); line != "" {
		text += fmt.Sprintf(" (%q)", line)
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &RefusedError{text, c.remedy(resp.Request)}
	}
	if err := Busy(resp, text); err != nil {
		return err
	}
	return errors.New(text)
}

type notFoundError string

func (e notFoundError) Error() string   { return string(e) }
func (e notFoundError) Is(t error) bool { return t == fs.ErrNotExist }

// A RefusedError says that a server requires credentials, or doesn't accept those that it got.
type RefusedError struct{ Text, Remedy string }

// Error implements error.
func (e *RefusedError) Error() string { return e.Text + ": " + e.Remedy }

// remedy returns advice for a request that a server refused.
func (c *Client) remedy(req *http.Request) string {
	host := req.URL.Host
	switch sent := len(orNone(c.Credentials).Header(req.URL)) > 0; {
	case sent:
		return fmt.Sprintf("%s refuses the credentials that were given for it: check them; %s", host, c.Remedies.Credentials)
	case req.URL.Scheme == "http":
		return fmt.Sprintf("%s wants credentials, which aren't sent over http: use https", host)
	}
	return fmt.Sprintf("no credentials were given for %s: %s", host, c.Remedies.Credentials)
}

func firstLine(resp *http.Response) string {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	head, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // no more than a hint: a part of it is one too
	line, _, _ := strings.Cut(string(head), "\n")
	return strings.TrimSpace(line)
}

// OneLine returns an error whose text is a single line without control characters, because it may quote an archive or a
// server.
func OneLine(err error) error {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
	if text == err.Error() {
		return err
	}
	return fmt.Errorf("%s", text)
}
