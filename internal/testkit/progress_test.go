package testkit

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCached(t *testing.T) {
	const log = `#1 [a] build
#1 CACHED
#2 [b] build
#2 sha256:1f62 8.10MB / 8.10MB 0.1s done
#2 DONE 4.2s
#3 [c] build
#3 extracting sha256:1f62 0.3s done
#3 ...
#11 [d] build
#11 0.2 CACHED
#11 DONE 1.0s
`
	for number, want := range map[string]bool{"1": true, "2": true, "3": true, "11": false, "4": false} {
		require.Equal(t, want, Cached(log, number), number)
	}
}
