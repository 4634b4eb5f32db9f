package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// lying is a registry that has an answer for each path below /v2/app/, and notes what is put there.
func lying(t *testing.T, answers map[string]string) (*Repository, *[]string) {
	var put []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/v2/app/")
		text, ok := answers[path]
		switch {
		case r.Method == http.MethodPut:
			put = append(put, path)
			w.WriteHeader(http.StatusCreated)
		case !ok:
			http.NotFound(w, r)
		case text == "500":
			w.WriteHeader(http.StatusBadRequest)
		default:
			w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
			fmt.Fprint(w, text)
		}
	}))
	t.Cleanup(server.Close)
	c, err := NewClient(Options{})
	require.NoError(t, err)
	r, err := c.RepositoryOf(strings.TrimPrefix(server.URL, "http://") + "/app@" + digest.FromString("x").String())
	require.NoError(t, err)
	return r, &put
}

func indexOf(t *testing.T, n int) string {
	data, err := json.Marshal(ocispec.Index{Manifests: make([]ocispec.Descriptor, n)})
	require.NoError(t, err)
	return string(data)
}

// What a registry sends is what was asked for, and bounded, or an error.
func TestReferrersOfLyingRegistries(t *testing.T) {
	subject := digest.FromString("image")
	tag := "manifests/sha256-" + subject.Encoded()
	for name, tt := range map[string]struct {
		answers map[string]string
		want    int
		wantErr string
	}{
		"the API":             {map[string]string{"referrers/" + subject.String(): indexOf(t, 2), tag: indexOf(t, 1)}, 2, ""},
		"the tag":             {map[string]string{tag: indexOf(t, 1)}, 1, ""},
		"neither":             {nil, 0, ""},
		"too many":            {map[string]string{tag: indexOf(t, maxReferrers+1)}, 0, "201 manifests refer to sha256:"},
		"no JSON":             {map[string]string{tag: "{"}, 0, "the list of what refers to"},
		"an error":            {map[string]string{"referrers/" + subject.String(): "500"}, 0, "answered 400"},
		"a list without end":  {map[string]string{"referrers/" + subject.String(): strings.Repeat(" ", maxManifest+1)}, 0, "it has more than 4194304 bytes"},
		"a tag's without end": {map[string]string{tag: strings.Repeat(" ", maxManifest+1)}, 0, "it has more than 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := lying(t, tt.answers)
			list, err := r.Referrers(t.Context(), subject)
			if tt.wantErr != "" {
				require.ErrorContains(t, err, tt.wantErr)
				return
			}
			require.NoError(t, err)
			require.Len(t, list, tt.want)
		})
	}
	blob := ocispec.Descriptor{Digest: digest.FromString("blob"), Size: 4}
	r, _ := lying(t, map[string]string{"manifests/" + subject.String(): "other", "blobs/" + blob.Digest.String(): "blab"})
	_, _, err := r.Manifest(t.Context(), subject.String())
	require.ErrorContains(t, err, "the registry sends sha256:")
	_, _, err = r.Manifest(t.Context(), "none")
	require.True(t, errdefs.IsNotFound(err))
	_, err = r.Blob(t.Context(), blob, 4)
	require.ErrorContains(t, err, "something else than its digest and size say")
	_, err = r.Blob(t.Context(), blob, 3)
	require.ErrorContains(t, err, "expected at most 3")
	_, err = r.Blob(t.Context(), ocispec.Descriptor{Digest: "../x", Size: 1}, 3)
	require.ErrorContains(t, err, "invalid")
}

// A registry with the API keeps the list itself; in another one it is under a tag, each manifest once.
func TestRefer(t *testing.T) {
	subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "text/x", Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON}, Subject: &subject}
	r, put := lying(t, map[string]string{"referrers/" + subject.Digest.String(): indexOf(t, 0)})
	desc, err := r.Refer(t.Context(), m)
	require.NoError(t, err)
	require.Equal(t, []string{"manifests/" + desc.Digest.String()}, *put)

	c, err := NewClient(Options{})
	require.NoError(t, err)
	r, err = c.RepositoryOf(testkit.Registry(t) + "/app:1")
	require.NoError(t, err)
	_, err = r.PushBytes(t.Context(), ocispec.MediaTypeEmptyJSON, ocispec.DescriptorEmptyJSON.Data, "")
	require.NoError(t, err)
	for _, kind := range []string{"text/x", "text/y", "text/x"} {
		m.ArtifactType = kind
		_, err := r.Refer(t.Context(), m)
		require.NoError(t, err)
	}
	list, err := r.Referrers(t.Context(), subject.Digest)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "text/x", list[0].ArtifactType)
	require.Equal(t, "text/y", list[1].ArtifactType)
}
