package fetch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNext(t *testing.T) {
	p := Policy{Tries: 3, Backoff: time.Microsecond, MaxWait: time.Millisecond}
	busy := &TemporaryError{Err: errors.New("busy")}
	require.NoError(t, p.Next(t.Context(), 1, busy))
	require.NoError(t, p.Next(t.Context(), 2, fmt.Errorf("wrapped: %w", busy)))

	err := p.Next(t.Context(), 3, busy)
	require.EqualError(t, err, "busy (tried 3 times)")
	var again *TemporaryError
	require.False(t, errors.As(err, &again), "what gave up isn't to be tried again")

	broken := errors.New("broken")
	require.Equal(t, broken, p.Next(t.Context(), 1, broken))
	require.EqualError(t, p.Next(t.Context(), 1, &TemporaryError{Err: busy, After: time.Hour}), "busy and asks to wait for 1h0m0s: try again then")

	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	time.AfterFunc(time.Millisecond, func() { cancel(enough) })
	require.Equal(t, enough, Policy{Tries: 3, Backoff: time.Hour, MaxWait: time.Hour}.Next(ctx, 1, busy))
	require.Equal(t, enough, p.Next(ctx, 1, busy))
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                     0,
		"0":                    0,
		" 7 ":                  7 * time.Second,
		"-1":                   0,
		"1.5":                  0,
		"soon":                 0,
		"99999999999999999999": 0,
		noon.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		noon.Add(-time.Hour).Format(http.TimeFormat):       0,
	} {
		require.Equal(t, want, retryAfter(header, noon), header)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "120", "-5", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "2147483648"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		d := retryAfter(header, noon)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.Zero(t, d%time.Second)
	})
}

func TestBackoff(t *testing.T) {
	for try := 1; try < 100; try++ {
		d := Policy{Backoff: time.Second}.wait(try)
		most := time.Second << min(try-1, 6)
		require.LessOrEqual(t, d, most)
		require.GreaterOrEqual(t, d, most/2)
	}
	require.Less(t, Policy{Backoff: time.Second}.wait(math.MaxInt), 2*time.Minute)
}
