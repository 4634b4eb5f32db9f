//go:build bench

package bench

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// pushed measures what a registry gets anew of the layers of modules when one dependency is added, by what its cache has:
// of a file that needs no modules, of one that needs all, and of that with a dependency more.
func (w *world) pushed(in input, dir string) weight {
	ref := w.registry + "/cache/" + in.repository() + ":pushed"
	export := func(line string) map[string]int64 {
		w.write(dir, "Dockerfile", w.larderLine()+"FROM go AS list\n"+line+"\nFROM scratch\nCOPY --from=list /usr/local/go/VERSION /\n")
		w.buildctl(dir, w.desk, "type=tar,dest=/dev/null", "--import-cache", cacheFrom+ref, "--export-cache", cacheTo+ref)
		return cacheLayers(w.t, ref)
	}
	none := export("") // even GO version would have the modules
	before := export("GO list -m all")
	w.require(dir, in.main)
	after := export("GO list -m all")
	return weight{"module layers pushed when one dependency is added", missing(before, after), missing(none, before), 0.15}
}

// missing returns the bytes of layers that old lacks.
func missing(old, layers map[string]int64) (sum int64) {
	for digest, size := range layers {
		if _, ok := old[digest]; !ok {
			sum += size
		}
	}
	return sum
}

// cacheLayers returns the layers of a cache in a registry, and their sizes.
func cacheLayers(t *testing.T, ref string) map[string]int64 {
	out, err := exec.CommandContext(t.Context(), testkit.Tool(t, "crane"), "manifest", ref).Output()
	require.NoError(t, err)
	type descriptor struct {
		Digest string
		Size   int64
	}
	var manifest struct{ Layers, Manifests []descriptor }
	require.NoError(t, json.Unmarshal(out, &manifest))
	layers := map[string]int64{}
	for _, l := range append(manifest.Layers, manifest.Manifests...) {
		layers[l.Digest] = l.Size
	}
	return layers
}
