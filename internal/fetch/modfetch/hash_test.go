package modfetch

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/dirhash"
)

// On all CPUs, the hash is the same as the reference's on one.
func TestHash1(t *testing.T) {
	open := func(name string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Repeat(name, 10))), nil
	}
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("a.example/mod@v1.0.0/%d.go", i*7919%300))
		want, err := dirhash.Hash1(names, open)
		require.NoError(t, err)
		got, err := Hash1(names, open)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for name, open := range map[string]func(string) (io.ReadCloser, error){
		"open": func(string) (io.ReadCloser, error) { return nil, errors.New("broken") },
		"read": func(string) (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(errors.New("broken"))), nil },
	} {
		_, err := Hash1(names, open)
		require.ErrorContains(t, err, "broken", name)
	}
	_, err := Hash1([]string{"a", "b\nc"}, open)
	require.EqualError(t, err, `the name "b\nc" has a line break`)
}
