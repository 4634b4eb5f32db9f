package registry

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// An answering is a network in which every request has an answer of the test's.
type answering func(*http.Request) *http.Response

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := a(r)
	resp.Request = r
	return resp, nil
}

// Whatever a registry answers, to each request another thing: what is got of it is what was asked for, a login goes over
// TLS and to nobody but the registry and the server that it names for tokens, and it is in no error.
func FuzzSession(f *testing.F) {
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}`
	sum := digest.FromString(manifest).String()
	f.Add(200, "Content-Type: application/vnd.oci.image.manifest.v1+json\nDocker-Content-Digest: "+sum, manifest, 200, "", manifest, 200, "", "")
	f.Add(401, `Www-Authenticate: Bearer realm="https://auth.example/token",service="x",scope="repository:a:pull"`, "", 200, "", `{"token":"t","expires_in":60}`, 200, "Content-Length: 9", manifest)
	f.Add(401, `Www-Authenticate: Bearer realm="http://auth.example/token"`, "", 200, "", "", 404, "", "")
	f.Add(401, `Www-Authenticate: Basic realm="x"`, "", 307, "Location: https://blobs.example/x", "", 200, "Content-Type: text/html", "<html>")
	f.Add(302, "Location: http://registry.example/v2/", "", 500, "Retry-After: 0", "", 429, "", "{}")
	f.Add(401, `Www-Authenticate: Bearer realm="https://auth.example/token",error="insufficient_scope"`, "", 401, `Www-Authenticate: Basic`, `{"errors":[{"code":"DENIED","message":"s3cret"}]}`, 403, "", "")
	const user, secret = "cook", "s3cret-pa55"
	basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + secret))
	f.Fuzz(func(t *testing.T, status1 int, header1, body1 string, status2 int, header2, body2 string, status3 int, header3, body3 string) {
		c, err := NewClient(Options{Docker: &configfile.ConfigFile{AuthConfigs: map[string]types.AuthConfig{"registry.example": {Username: user, Password: secret}}}})
		require.NoError(t, err)
		c.Policy.Tries, c.Policy.Backoff, c.Policy.MaxWait = 2, 0, 0
		// In a header the name of a server may be written with escapes, those of quoted text or of URLs.
		said := strings.ReplaceAll(header1+"\n"+header2+"\n"+header3, `\`, "")
		if plain, err := url.PathUnescape(said); err == nil {
			said += plain
		}
		n := 0
		c.http.Transport.(*transport).base = answering(func(r *http.Request) *http.Response {
			sent := r.Header.Get("Authorization") + r.URL.String()
			if r.Body != nil {
				form, _ := io.ReadAll(r.Body)
				sent += string(form)
			}
			if strings.Contains(sent, basic) || strings.Contains(sent, url.QueryEscape(secret)) {
				require.Equal(t, "https", r.URL.Scheme, "a login goes to %s", r.URL)
				named := r.URL.Host == "registry.example" || strings.Contains(strings.ToLower(said), strings.ToLower(r.URL.Host))
				require.True(t, named, "a login goes to %s", r.URL)
			}
			require.Less(t, n, 60, "it goes on for ever")
			switch n++; n % 3 {
			case 1:
				return answer(status1, header1, body1)
			case 2:
				return answer(status2, header2, body2)
			}
			return answer(status3, header3, body3)
		})
		_, desc, fetcher, err := c.Resolve(t.Context(), "registry.example/a:1")
		if err != nil {
			require.NotContains(t, err.Error(), secret)
			require.NotContains(t, err.Error(), basic)
			return
		}
		require.NoError(t, desc.Digest.Validate())
		r, err := fetcher.Fetch(t.Context(), desc)
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
	})
}

// answer makes an answer of a status and lines of a header.
func answer(status int, header, body string) *http.Response {
	h := http.Header{}
	for line := range strings.Lines(header) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			h.Add(name, value)
		}
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Header: h,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader([]byte(body))),
	}
}
