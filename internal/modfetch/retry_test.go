package modfetch

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
		d := backoff(time.Second, try)
		most := time.Second << min(try-1, 6)
		require.LessOrEqual(t, d, most)
		require.GreaterOrEqual(t, d, most/2)
	}
	require.Less(t, backoff(time.Second, math.MaxInt), 2*time.Minute)
}
