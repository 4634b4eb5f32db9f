package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A TemporaryError is an error after which another try may succeed.
type TemporaryError struct {
	Err   error
	After time.Duration // the other side asks for this wait; 0 if it doesn't
}

// Error implements error.
func (e *TemporaryError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *TemporaryError) Unwrap() error { return e.Err }

// A Policy says how often to try, how long to wait between tries, and how long to wait for a server that sends nothing.
type Policy struct {
	Tries    int           // of one thing without progress
	Backoff  time.Duration // before the second try; twice as long before each further one
	MaxWait  time.Duration // longest wait between tries; whoever asks for a longer one isn't tried again
	HeadWait time.Duration // longest silence before an answer's header: the server may have to get what it sends first
	Stall    time.Duration // longest silence within an answer, or within what is sent
}

// DefaultPolicy suits module proxies and git servers.
func DefaultPolicy() Policy {
	return Policy{Tries: 5, Backoff: 500 * time.Millisecond, MaxWait: time.Minute, HeadWait: 90 * time.Second, Stall: 30 * time.Second}
}

// Retry calls do until it succeeds, returns an error other than a TemporaryError, or was called often enough.
func (p Policy) Retry(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil {
			return nil
		}
		if err = p.Next(ctx, try, err); err != nil {
			return err
		}
	}
}

// Next waits after a try that failed with err, until it is time for another try, and then returns nil. Tries count from
// 1. If there must be no other try, it returns an error: err if another try can't succeed or ctx has ended, otherwise
// an error that isn't a TemporaryError, so that callers don't try again.
func (p Policy) Next(ctx context.Context, try int, err error) error {
	var again *TemporaryError
	switch {
	case !errors.As(err, &again):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case try >= p.Tries:
		return fmt.Errorf("%v (tried %d times)", err, try) //nolint:errorlint // see above: it is no TemporaryError any more
	case again.After > p.MaxWait:
		return fmt.Errorf("%v and asks to wait for %v: try again then", err, again.After) //nolint:errorlint // the same
	}
	timer := time.NewTimer(min(max(p.wait(try), again.After), p.MaxWait))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// wait returns the time to wait after a try. It doubles with each try. Up to a half is taken off at random, so that
// transfers that failed together don't start again together.
func (p Policy) wait(try int) time.Duration {
	wait := p.Backoff << min(try-1, 6)
	return wait - time.Duration(rand.Int64N(int64(wait)/2+1))
}

// Busy returns an error if an answer says that the server can't answer now, otherwise nil. It doesn't close the body.
func Busy(resp *http.Response, text string) error {
	if code := resp.StatusCode; code != http.StatusTooManyRequests && code != http.StatusRequestTimeout && code < 500 {
		return nil
	}
	return &TemporaryError{Err: errors.New(text), After: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
}

// retryAfter reads a Retry-After header: seconds, or a date. It returns 0 for a header that it can't read, and for a
// date in the past.
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
