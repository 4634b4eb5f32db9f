package fetch

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func newClient(t *testing.T, ca string, creds Credentials) *Client {
	c, err := NewClient(ca, creds, Remedies{CA: "pass it with --ca FILE", Credentials: "pass --netrc"})
	require.NoError(t, err)
	t.Cleanup(c.Transport.(*http.Transport).CloseIdleConnections)
	return c
}

// get returns what a server answers, after as many tries as the client's policy has.
func get(t *testing.T, c *Client, from string) (text string, err error) {
	err = c.Policy.Retry(t.Context(), func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, from, nil)
		require.NoError(t, err)
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if err := c.StatusError(resp); err != nil {
			return err
		}
		data, err := io.ReadAll(resp.Body)
		text = string(data)
		return err
	})
	return text, err
}

func TestCheckRedirect(t *testing.T) {
	follow := CheckRedirect(nil)
	request := func(u string) *http.Request {
		req, err := http.NewRequest(http.MethodGet, u, nil)
		require.NoError(t, err)
		req.SetBasicAuth("u", "p")
		return req
	}
	for to, keep := range map[string]bool{
		"https://proxy.example/b":      true,
		"https://sub.proxy.example/b":  false,
		"https://proxy.example:8443/b": false,
		"https://other.example/b":      false,
	} {
		req := request(to)
		require.NoError(t, follow(req, []*http.Request{request("https://proxy.example/a")}))
		require.Equal(t, keep, req.Header.Get("Authorization") != "", to)
	}
	for _, via := range [][]*http.Request{
		{request("https://proxy.example/a")},
		{request("http://proxy.example/a"), request("https://proxy.example/a")},
	} {
		require.EqualError(t, follow(request("http://proxy.example/b"), via), "refusing its redirect: from https to http")
	}
	for to, ok := range map[string]bool{"https://proxy.example/b": true, "https://other.example/b": false} {
		req := request(to)
		req.Body = io.NopCloser(strings.NewReader("password=s3cret"))
		err := follow(req, []*http.Request{request("https://proxy.example/a")})
		require.Equal(t, ok, err == nil, "what is sent follows to %s: %v", to, err)
	}
}

// given has credentials for some hosts and paths.
type given map[string]http.Header

func (g given) Header(u *url.URL) http.Header { return g[u.Host+u.Path] }
func (given) Proxy(*url.URL) *url.Userinfo    { return nil }
func (g given) Redact(text string) string     { return strings.ReplaceAll(text, "s3cret", "xxxxx") }

// What was given for a host goes there, along redirects as long as they stay, and never comes back from elsewhere.
func TestStoreFollowsRedirects(t *testing.T) {
	type asked struct{ At, Token string }
	got := make(chan asked, 10)
	var here, there string
	answer := func(w http.ResponseWriter, r *http.Request) {
		got <- asked{"http://" + r.Host + r.URL.Path, r.Header.Get("Private-Token")}
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, strings.NewReplacer("here", here, "there", there).Replace(to), http.StatusFound)
		}
	}
	a, b := httptest.NewServer(http.HandlerFunc(answer)), httptest.NewServer(http.HandlerFunc(answer))
	defer a.Close()
	defer b.Close()
	here, there = a.URL, b.URL
	token := http.Header{"Private-Token": {"s3cret"}}
	store := given{strings.TrimPrefix(here, "http://") + "/x": token, strings.TrimPrefix(here, "http://") + "/y": token, strings.TrimPrefix(there, "http://") + "/x": token}
	c := newClient(t, "", store)
	for to, want := range map[string][]asked{
		"here/y":            {{here + "/x", "s3cret"}, {here + "/y", "s3cret"}},
		"here/z?to=here/y":  {{here + "/x", "s3cret"}, {here + "/z", ""}, {here + "/y", "s3cret"}},
		"there/x":           {{here + "/x", "s3cret"}, {there + "/x", ""}},
		"there/x?to=here/x": {{here + "/x", "s3cret"}, {there + "/x", ""}, {here + "/x", ""}},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, here+"/x?to="+url.QueryEscape(to), nil)
		require.NoError(t, err)
		resp, err := c.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		for _, w := range want {
			require.Equal(t, w, <-got, to)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, here+"/x", nil)
	require.NoError(t, err)
	resp, err := c.With(nil).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Empty(t, (<-got).Token)
}

// The roots of the file are trusted, and without them the error says how to pass them.
func TestPrivateAuthority(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	defer srv.Close()
	srv.Config.ErrorLog = nil
	_, err := get(t, newClient(t, "", nil), srv.URL)
	require.ErrorContains(t, err, "pass it with --ca FILE")
	require.NotContains(t, err.Error(), "tried")

	file := filepath.Join(t.TempDir(), "ca")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	text, err := get(t, newClient(t, file, nil), srv.URL)
	require.NoError(t, err)
	require.Equal(t, "ok", text)

	require.NoError(t, os.WriteFile(file, []byte("nothing"), 0o600))
	_, err = NewClient(file, nil, Remedies{})
	require.ErrorContains(t, err, "ca holds no certificate")
}

func TestRemedy(t *testing.T) {
	c := newClient(t, "", nil)
	require.Equal(t, "no credentials were given for a.example: pass --netrc", c.remedy(&http.Request{URL: &url.URL{Scheme: "https", Host: "a.example"}}))
}
