package registry

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// What a registry says of a digest is worth nothing until the bytes have it.
func TestDigest(t *testing.T) {
	hub := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	c := impatient(t, nil, Options{})
	ref := hub.Host + "/team/app:v1"
	img := pushImage(t, c, ref, 100)
	got, err := c.Digest(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, img.desc.Digest, got)
	_, err = c.Digest(t.Context(), hub.Host+"/team/app:v2")
	require.ErrorContains(t, err, "team/app:v2")

	other := "sha256:" + strings.Repeat("a", 64)
	const manifest = "application/vnd.oci.image.manifest.v1+json"
	for name, tt := range map[string]struct {
		digest, mediaType, body, want string
	}{
		"another digest":    {other, manifest, `{"schemaVersion":2}`, "sends sha256:"},
		"no digest":         {"sha256:../../x", manifest, `{}`, ""},
		"a digest of lines": {other + "\r\nRUN x", manifest, `{}`, ""},
		"no image":          {other, "text/plain", `{}`, "is no image, but of the type"},
		"too long":          {other, manifest, strings.Repeat(" ", maxManifest+1), "over 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			hub.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if !strings.Contains(r.URL.Path, "/manifests/") {
					next.ServeHTTP(w, r)
					return
				}
				w.Header()["Docker-Content-Digest"] = []string{tt.digest}
				w.Header().Set("Content-Type", tt.mediaType)
				w.Header().Set("Content-Length", strconv.Itoa(len(tt.body)))
				if r.Method != http.MethodHead {
					_, _ = w.Write([]byte(tt.body))
				}
			})
			got, err := c.Digest(t.Context(), ref)
			if tt.want == "" && err == nil {
				require.Equal(t, digest.FromString(tt.body), got, "the registry wasn't believed")
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}
