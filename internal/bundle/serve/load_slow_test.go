//go:build slow

package serve

import (
	"sync"
	"testing"
	"time"
)

// A minute of 200 clients.
func TestSlowManyClients(t *testing.T) {
	until := func(d time.Duration) func(int) bool {
		end := sync.OnceValue(func() time.Time { return time.Now().Add(d) })
		return func(int) bool { return time.Now().Before(end()) }
	}
	underLoad(t, until(5*time.Second), until(time.Minute))
}
