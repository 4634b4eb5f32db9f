package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/larder-build/larder/internal/testkit"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// A tokenServer gives tokens to those who know the password.
type tokenServer struct {
	*httptest.Server
	mu     sync.Mutex
	scopes []string
}

func serveTokens(t *testing.T, user, password string) *tokenServer {
	s := &tokenServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, ok := r.BasicAuth()
		if !ok {
			u, p = r.PostFormValue("username"), r.PostFormValue("password")
		}
		if u != user || p != password {
			w.WriteHeader(401)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		scope := strings.Join(append(r.URL.Query()["scope"], r.PostFormValue("scope")), " ")
		s.scopes = append(s.scopes, strings.TrimSpace(scope))
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "t0ken-" + scope, "token": "t0ken-" + scope, "expires_in": 300})
	}))
	t.Cleanup(s.Close)
	return s
}

// bearer asks for a token of a server.
func bearer(realm string) testkit.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer t0ken-") {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="registry"`, realm))
			w.WriteHeader(401)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func basic(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if user, password, _ := r.BasicAuth(); user != "cook" || password != "s3cret" {
		w.Header().Set("WWW-Authenticate", `Basic realm="kitchen"`)
		w.WriteHeader(401)
		return
	}
	next.ServeHTTP(w, r)
}

func TestLogins(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	tokens := serveTokens(t, "cook", "s3cret")
	for name, f := range map[string]testkit.Fault{"basic": basic, "bearer": bearer(tokens.URL + "/token")} {
		t.Run(name, func(t *testing.T) {
			p.Fail(f)
			c := impatient(t, map[string]string{p.Host: "cook:s3cret"}, Options{})
			ref := p.Host + "/team/" + name
			img := pushImage(t, c, ref, 100_000)
			got, err := get(t.Context(), impatient(t, map[string]string{p.Host: "cook:s3cret"}, Options{}), ref, img.layer)
			require.NoError(t, err)
			require.Equal(t, img.data, got)

			_, err = get(t.Context(), impatient(t, nil, Options{}), ref, img.layer)
			require.EqualError(t, err, fmt.Sprintf("%s refuses team/%s without a login (401 Unauthorized): run 'docker login %[1]s'", p.Host, name))
			_, err = get(t.Context(), impatient(t, map[string]string{p.Host: "cook:guess"}, Options{}), ref, img.layer)
			require.EqualError(t, err, fmt.Sprintf("%s refuses team/%s to cook (401 Unauthorized): run 'docker login %[1]s' again, or ask for access", p.Host, name))
			repo, err := impatient(t, nil, Options{}).Repository(ref)
			require.NoError(t, err)
			_, err = repo.Push(t.Context(), img.layer, nil, "")
			require.EqualError(t, err, fmt.Sprintf("%s refuses team/%s without a login (401 Unauthorized): run 'docker login %[1]s'", p.Host, name))
		})
	}
	require.Contains(t, tokens.scopes, "repository:team/bearer:pull,push")
	require.Contains(t, tokens.scopes, "repository:team/bearer:pull")
}

// Credentials go to the host that they are for, and to no other that it names.
func TestLoginsStayWithTheirHost(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	anonymous := impatient(t, nil, Options{})
	ref := p.Host + "/team/app:v1"
	img := pushImage(t, anonymous, ref, 1000)

	var mu sync.Mutex
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if err := r.ParseForm(); err != nil || r.Header.Get("Authorization") != "" || strings.Contains(fmt.Sprint(r.Form), "s3cret") {
			leaked = append(leaked, r.URL.Path)
		}
		_, _ = w.Write(img.data)
	}))
	defer other.Close()

	t.Run("a blob elsewhere", func(t *testing.T) {
		p.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			basic(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if isLayer(r) {
					http.Redirect(w, r, other.URL+"/blob", http.StatusTemporaryRedirect)
					return
				}
				next.ServeHTTP(w, r)
			}))
		})
		got, err := get(t.Context(), impatient(t, map[string]string{p.Host: "cook:s3cret"}, Options{}), ref, img.layer)
		require.NoError(t, err)
		require.Equal(t, img.data, got)
	})
	t.Run("a token server that sends on", func(t *testing.T) {
		tokens := httptest.NewServer(http.RedirectHandler(other.URL+"/token", http.StatusTemporaryRedirect))
		defer tokens.Close()
		p.Fail(bearer(tokens.URL))
		_, err := get(t.Context(), impatient(t, map[string]string{p.Host: "cook:s3cret"}, Options{}), ref, img.layer)
		require.ErrorContains(t, err, "refusing the redirect of "+strings.TrimPrefix(tokens.URL, "http://"))
	})
	t.Run("a token server without TLS", func(t *testing.T) {
		p.Fail(bearer("http://registry.example/token"))
		_, err := get(t.Context(), impatient(t, map[string]string{p.Host: "cook:s3cret"}, Options{}), ref, img.layer)
		require.EqualError(t, err, "refusing to talk to registry.example without TLS: name it with --plain-http registry.example if it has none")
	})
	t.Run("other hosts of a manifest", func(t *testing.T) {
		p.Fail(nil)
		layer := img.layer
		layer.URLs = []string{other.URL + "/foreign"}
		_, err := get(t.Context(), anonymous, ref, layer)
		require.NoError(t, err)
	})
	t.Run("an upload elsewhere", func(t *testing.T) {
		p.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			basic(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					w.Header().Set("Location", other.URL+"/upload?state=x")
					w.WriteHeader(http.StatusAccepted)
					return
				}
				next.ServeHTTP(w, r)
			}))
		})
		repo, err := impatient(t, map[string]string{p.Host: "cook:s3cret"}, Options{}).Repository(p.Host + "/team/new")
		require.NoError(t, err)
		sent, err := repo.Push(t.Context(), img.layer, strings.NewReader(string(img.data)), "")
		require.NoError(t, err)
		require.True(t, sent)
	})
	require.Empty(t, leaked)
}

// A credential helper is asked, and one that fails is told of.
func TestCredentialHelper(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	p.Fail(basic)
	dir := t.TempDir()
	script := "#!/bin/sh\nread host\n[ \"$1\" = get ] && echo '{\"ServerURL\":\"'$host'\",\"Username\":\"cook\",\"Secret\":\"s3cret\"}'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-credential-pantry"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	config := configfile.New("")
	config.CredentialHelpers = map[string]string{p.Host: "pantry"}
	pushImage(t, impatient(t, nil, Options{Docker: config}), p.Host+"/team/app", 1000)

	config.CredentialHelpers[p.Host] = "nobody"
	_, err := get(t.Context(), impatient(t, nil, Options{Docker: config}), p.Host+"/team/app", ocispec.Descriptor{})
	require.ErrorContains(t, err, "the login for "+p.Host+": docker's credential helper: ")
	require.ErrorContains(t, err, "docker-credential-nobody")
}
