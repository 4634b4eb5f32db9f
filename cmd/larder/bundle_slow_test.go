//go:build slow

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// skopeo reads a bundle as the OCI layout that it is: what it copies, image by image, is the bundle. Through a registry
// the modules come back as they were, and a build takes them from there.
func TestSlowBundleBySkopeo(t *testing.T) {
	w := newWorld(t)
	dir, repo := t.TempDir(), testkit.Registry(t)+"/modules:team"
	from, to, back := filepath.Join(dir, "bundle"), filepath.Join(dir, "copy"), filepath.Join(dir, "back")
	w.larder("bundle", "create", "--no-images", "-o", from, w.context)

	skopeo := func(args ...string) {
		testkit.Run(t, "skopeo", append([]string{"--insecure-policy", "copy", "--quiet", "--preserve-digests"}, args...)...)
	}
	var index struct {
		Manifests []struct {
			Annotations map[string]string
		}
	}
	data, err := os.ReadFile(filepath.Join(from, "index.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &index))
	require.Greater(t, len(index.Manifests), 2)
	for _, m := range index.Manifests {
		name := m.Annotations["org.opencontainers.image.ref.name"]
		skopeo("oci:"+from+":"+name, "oci:"+to+":"+name)
	}
	require.Contains(t, w.larder("bundle", "verify", "--go-sum", filepath.Join(w.context, "go.sum"), to), "2 modules")
	require.Empty(t, w.larder("bundle", "diff", from, to))

	skopeo("--dest-tls-verify=false", "oci:"+from+":modules", "docker://"+repo)
	skopeo("--src-tls-verify=false", "docker://"+repo, "oci:"+back+":modules")
	w.env = []string{"GOPROXY=off"}
	out, err := w.build("--build-context", "larder-modules=oci-layout://"+back+":modules", "--build-context", "larder-toolchain="+w.proxy, "-o", filepath.Join(dir, "root"))
	require.NoError(t, err, "%s", out)
	require.Equal(t, "hello, larder\n", runBinary(t, filepath.Join(dir, "root")))
}
