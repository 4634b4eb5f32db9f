package retry

import (
	"context"
	"errors"
	"fmt"
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

func TestAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "99999999999": 0,
		"0": 0, " 120 ": 2 * time.Minute,
		"Fri, 02 Jan 2026 12:00:30 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 11:00:00 GMT": 0,
	} {
		require.Equal(t, want, After(header, now), header)
	}
}
