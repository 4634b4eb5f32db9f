package modfetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A temporaryError is one that another try may mend.
type temporaryError struct {
	err   error
	after time.Duration // the server asks for this wait
}

func (e *temporaryError) Error() string { return e.err.Error() }
func (e *temporaryError) Unwrap() error { return e.err }

func silence(d time.Duration) error {
	return &temporaryError{err: fmt.Errorf("it sent nothing for %v", d)}
}

// networkError says why a request got no answer, or only a part of one, without the URL that net/http quotes: after a
// redirect that may be a signed one.
func (c *Client) networkError(ctx context.Context, err error) error {
	var temporary *temporaryError
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
	switch {
	case errors.As(err, &cert):
		return fmt.Errorf("%w: %s", err, c.say.CA)
	case errors.As(err, &dns) && dns.IsNotFound, errors.Is(err, errRedirect):
		return OneLine(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the transfer broke off: %w", err)
	}
	return &temporaryError{err: OneLine(err)}
}

// statusError makes an error of an answer's status, and of its first line of text: proxies say there why they refuse.
func statusError(resp *http.Response, user *url.Userinfo) error {
	text := "it answered " + resp.Status
	if line := firstLine(resp); line != "" && !quotes(line, user) {
		text += fmt.Sprintf(" (%q)", line)
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		return fmt.Errorf("%s: check the user and password in GOPROXY", text)
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		after := retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return &temporaryError{err: errors.New(text), after: after}
	}
	return errors.New(text)
}

func firstLine(resp *http.Response) string {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	head, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // no more than a hint: a part of it is one too
	line, _, _ := strings.Cut(string(head), "\n")
	return strings.TrimSpace(line)
}

func quotes(line string, user *url.Userinfo) bool {
	if user == nil {
		return false
	}
	password, _ := user.Password()
	return password != "" && strings.Contains(line, password) || user.Username() != "" && strings.Contains(line, user.Username())
}

// retryAfter reads a Retry-After header: seconds, or a date. What it can't read, and a date that has passed, are 0.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(header); err == nil {
		return max(0, date.Sub(now).Truncate(time.Second))
	}
	return 0
}

// backoff returns the wait after the given try: twice as long each time, less up to a half by chance, so that
// transfers that failed together don't come back together.
func backoff(first time.Duration, try int) time.Duration {
	wait := first << min(try-1, 6)
	return wait - time.Duration(rand.Int64N(int64(wait)/2+1))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
