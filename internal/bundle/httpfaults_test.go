package bundle

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// digests match what is different from run to run.
var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// TestRegistryFaults pulls a bundle from a registry whose blobs fail.
func TestRegistryFaults(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	backend, path, _ := strings.Cut(d.ref, "/")
	testkit.CheckFaults(t, "../../docs/reference/faults.md", "Registries", testkit.Faults(), func(t *testing.T, f testkit.NamedFault, times int64) error {
		p := testkit.ServeRegistryProxy(t, backend, false)
		p.Fail(testkit.Where(isBlob, times, f.Do))
		c := client(t)
		c.Policy.HeadWait, c.Policy.Stall = time.Second, time.Second
		dir := t.TempDir()
		_, _, err := Pull(t.Context(), dir, p.Host+"/"+path, c, Trust{}, nil)
		if err != nil {
			require.NoFileExists(t, dir+"/index.json")
			text := strings.NewReplacer(p.Host, "HOST", "for 1s", "for TIME").Replace(err.Error())
			return errors.New(digests.ReplaceAllString(text, "DIGEST"))
		}
		d.check(dir)
		return nil
	})
}
