package gitfetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/credentials"
	"github.com/larder-build/larder/internal/testkit"
)

var lib = module.Version{Path: host + "/lib.git", Version: "v1.0.0"}

// newLib makes a repository with one module.
func (c *corp) newLib(args ...string) *testkit.Repo {
	r := c.repo("lib", args...)
	r.Commit(map[string]string{"go.mod": "module " + lib.Path + "\n", "a.go": "package a\n"}, lib.Version)
	return r
}

// requests counts what was asked of git servers.
func (c *corp) requests(part string) int {
	n := 0
	for _, asked := range c.web.Asked() {
		if strings.Contains(asked.URL, part) {
			n++
		}
	}
	return n
}

// Each secret that lets git or go in lets Larder in.
func TestCredentials(t *testing.T) {
	c := newCorp(t)
	c.newLib()
	for name, files := range map[string]credentials.Files{
		"netrc":        netrc,
		"goauth":       {GoAuth: []byte("https://" + host + "/lib\n\nAuthorization: " + testkit.Basic("ci", token) + "\n\n")},
		"extra header": {GitConfig: []byte("[http \"https://" + host + "/\"]\n\textraHeader = AUTHORIZATION: " + strings.Replace(testkit.Basic("ci", token), "Basic", "basic", 1) + "\n")},
		"insteadOf":    {GitConfig: []byte("[url \"https://ci:" + token + "@" + host + "/\"]\n\tinsteadOf = https://" + host + "/\n")},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "extra header" {
				c.web.Handle(host, testkit.Guarded(testkit.GitHandler(t, c.root), strings.Replace(testkit.Basic("ci", token), "Basic", "basic", 1)))
			} else {
				c.web.Handle(host, testkit.Guarded(testkit.GitHandler(t, c.root), testkit.Basic("ci", token)))
			}
			f := c.fetcher(files, Options{})
			got := c.fetch(f, lib)
			require.NoError(t, got.Err)
			require.Equal(t, "v1.0.0", got.Ver)
			text, err := os.ReadFile(filepath.Join(f.Dir, "modules", lib.Path, "@v", "v1.0.0.info"))
			require.NoError(t, err)
			silent(t, string(text))
			require.Contains(t, string(text), `"URL":"https://`+host+`/lib"`)
		})
	}
}

// A server that refuses is named, with what to pass, and what was sent is not, though the server sends it back.
func TestRefused(t *testing.T) {
	c := newCorp(t)
	c.newLib()
	c.web.Handle("vanity.corp.example", testkit.Guarded(http.NotFoundHandler(), "Bearer other"))
	both := []byte("machine " + host + " login ci password wrong-" + token + "\nmachine vanity.corp.example login ci password wrong-" + token + "\n")
	vanity := module.Version{Path: "vanity.corp.example/x", Version: "v1.0.0"}
	for _, tt := range []struct {
		files credentials.Files
		m     module.Version
		want  string
	}{
		{credentials.Files{}, lib, "https://" + host + "/lib: it answered 401 Unauthorized (\"not with\"): no credentials were given for " + host + ": pass --secret id=netrc,src=FILE"},
		{credentials.Files{Netrc: both}, lib, host + " refuses the credentials that were given for it: check them; pass --secret id=netrc,src=FILE"},
		{credentials.Files{}, vanity, "no credentials were given for vanity.corp.example: pass --secret"},
		{credentials.Files{Netrc: both}, vanity, "https://vanity.corp.example/x?go-get=1: it answered 401"},
	} {
		got := c.fetch(c.fetcher(tt.files, Options{}), tt.m)
		require.ErrorContains(t, got.Err, tt.want)
		var refused *fetch.RefusedError
		require.ErrorAs(t, got.Err, &refused)
		silent(t, got.Err.Error())
		require.NotContains(t, got.Err.Error(), "\n")
	}
}

// What is only allowed by GOINSECURE goes over http, without credentials that weren't given for it.
func TestInsecure(t *testing.T) {
	c := newCorp(t)
	c.newLib()
	open := testkit.GitHandler(t, c.root)
	c.web.Handle(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			http.Error(w, "only http here", http.StatusNotFound)
			return
		}
		open.ServeHTTP(w, r)
	}))
	c.web.Handle("vanity.corp.example", testkit.GoGet(map[string]string{
		"vanity.corp.example/lib": "vanity.corp.example/lib git http://" + host + "/lib",
	}, http.NotFoundHandler()))
	vanity := module.Version{Path: "vanity.corp.example/lib", Version: "v1.0.0"}

	require.ErrorContains(t, c.fetch(c.fetcher(netrc, Options{}), lib).Err, "404")
	require.ErrorContains(t, c.fetch(c.fetcher(netrc, Options{}), vanity).Err, "names http://"+host+"/lib for vanity.corp.example/lib, and http isn't secure: GOINSECURE may name the module")
	for _, asked := range c.web.Asked() {
		require.NotContains(t, asked.URL, "http://")
	}
	f := c.fetcher(netrc, Options{GOINSECURE: "*.corp.example"})
	require.NoError(t, c.fetch(f, lib).Err)
	require.Equal(t, "v1.0.0", c.fetch(f, vanity).Ver)
	for _, asked := range c.web.Asked() {
		if strings.HasPrefix(asked.URL, "http://") {
			require.Empty(t, asked.Header["Authorization"], asked.URL)
		}
	}
}

// Credentials don't follow a redirect to another host, and git's second request doesn't take them up again.
func TestRedirects(t *testing.T) {
	c := newCorp(t)
	c.newLib()
	c.web.Handle("moved.corp.example", testkit.GitHandler(t, c.root))
	c.web.Handle(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://moved.corp.example"+r.URL.RequestURI(), http.StatusMovedPermanently)
	}))
	files := credentials.Files{Netrc: []byte("machine " + host + " login ci password " + token + "\nmachine moved.corp.example login ci password " + token + "\n")}
	require.NoError(t, c.fetch(c.fetcher(files, Options{}), lib).Err)
	asked := c.web.Asked()
	require.Len(t, asked, 3)
	require.Equal(t, testkit.Basic("ci", token), asked[0].Header.Get("Authorization"))
	for _, a := range asked[1:] {
		require.Contains(t, a.URL, "https://moved.corp.example/lib/")
		require.Empty(t, a.Header["Authorization"])
	}

	c.web.Handle(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://moved.corp.example"+r.URL.RequestURI(), http.StatusFound)
	}))
	require.ErrorContains(t, c.fetch(c.fetcher(files, Options{}), lib).Err, "refusing its redirect: from https to http")
}

// A repository is asked once for what it has, and once for each commit, whatever comes from it.
func TestFetchesOnce(t *testing.T) {
	c := newCorp(t)
	r := c.newLib()
	next := module.Version{Path: lib.Path, Version: r.Pseudo("", "v1.0.0", r.Commit(map[string]string{"b.go": "package a\n"}))}
	f := c.fetcher(netrc, Options{})
	for range 2 {
		for _, m := range []module.Version{lib, next} {
			t.Run("at once", func(t *testing.T) {
				t.Parallel()
				_, err := f.FetchMod(t.Context(), m)
				require.NoError(t, err)
				require.NoError(t, c.fetch(f, m).Err)
			})
		}
	}
	t.Cleanup(func() {
		require.Equal(t, 1, c.requests("info/refs"))
		require.Equal(t, 2, c.requests("/git-upload-pack"))
	})
}

// A commit that no branch or tag names is looked for in the history: without files, where the server can.
func TestHistory(t *testing.T) {
	c := newCorp(t)
	r := c.newLib()
	var mods []module.Version
	for i := range 3 {
		mods = append(mods, module.Version{Path: lib.Path, Version: r.Pseudo("", "v1.0.0", r.Commit(map[string]string{"b.go": fmt.Sprint("package a // ", i)}))})
	}
	r.Commit(map[string]string{"b.go": "package a // last\n"})
	whole := c.fetch(c.fetcher(netrc, Options{}), mods[1])
	require.NoError(t, whole.Err)
	r.Git("config", "uploadpack.allowFilter", "true")
	r.Git("config", "uploadpack.allowAnySHA1InWant", "true")
	f := c.fetcher(netrc, Options{})
	require.Equal(t, whole, c.fetch(f, mods[1]))
	require.NoError(t, c.fetch(f, mods[0]).Err)
	require.DirExists(t, filepath.Join(f.Dir, "repo0", "commits"))
}

func TestUnfit(t *testing.T) {
	c := newCorp(t)
	r := testkit.NewRepo(t, filepath.Join(c.root, "sha256"), "--object-format=sha256")
	r.Commit(map[string]string{"go.mod": "module x\n"}, "v1.0.0")
	c.repo("empty")
	encoded := c.repo("encoded")
	encoded.Commit(map[string]string{"go.mod": "module " + host + "/encoded.git\n", ".gitattributes": "*.txt text working-tree-encoding=UTF-16\n", "a.txt": "\xfe\xff\x00a\x00\n"}, "v1.0.0")
	web := func(path string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>", path) }
	}
	c.web.Handle("page.corp.example", web("hello"))
	c.web.Handle("file.corp.example", testkit.GoGet(map[string]string{"file.corp.example/x": "file.corp.example/x git file:///etc"}, web("x")))
	c.web.Handle("liar.corp.example", testkit.GoGet(map[string]string{"liar.corp.example/a/b": "liar.corp.example git https://liar.corp.example/evil"}, web("x")))
	c.web.Handle("twice.corp.example", testkit.GoGet(map[string]string{
		"twice.corp.example":   "twice.corp.example git https://twice.corp.example/1",
		"twice.corp.example/a": "twice.corp.example/a git https://twice.corp.example/2",
	}, web("x")))
	c.web.Handle("elsewhere.example", http.NotFoundHandler())
	f := c.fetcher(netrc, Options{GOVCS: "secret.corp.example:off", GOPRIVATE: "*.example"})
	for path, want := range map[string]string{
		host + "/sha256.git":         "its objects have SHA-256 names",
		host + "/empty.git":          "the repository is empty",
		host + "/none.git":           "it answered 404 Not Found",
		host + "/encoded.git":        `the file "a.txt": its encoding in archives is UTF-16`,
		"page.corp.example/x.git":    "what answers there is not a git server",
		"page.corp.example/x":        "the page has no go-import meta tag",
		"file.corp.example/x":        "names a repository for file.corp.example/x that can't be used",
		"liar.corp.example/a/b":      "the page has no go-import meta tag",
		"twice.corp.example/a":       "several go-import meta tags for twice.corp.example/a",
		"secret.corp.example/x.git":  "GOVCS forbids git for secret.corp.example/x.git",
		"corp.example/x.hg":          "kept in Mercurial, and Larder fetches from git alone",
		"nohost/x":                   "missing dot in first path element",
		"github.com/x":               "expected github.com/OWNER/NAME",
		"elsewhere.example/x/y.git":  "it answered 404 Not Found",
		"elsewhere.example/x/y/..zz": "malformed module path",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			_, err := f.Fetch(t.Context(), module.Version{Path: path, Version: "v1.0.0"})
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	_, err := New(Options{GOVCS: "x"})
	require.ErrorContains(t, err, `GOVCS has the entry "x": expected PATTERN:VCS`)
}

// Names in a repository that would lead out of the module are refused, and nothing is left behind.
func TestHostile(t *testing.T) {
	c := newCorp(t)
	r := c.newLib()
	blob := r.Git("rev-parse", "HEAD:a.go")
	gomod := r.Git("rev-parse", "HEAD:go.mod")
	tree := func(lines string) string {
		file := filepath.Join(t.TempDir(), "tree")
		require.NoError(t, os.WriteFile(file, []byte(lines), 0o644))
		return r.Git("-c", "core.protectNTFS=false", "hash-object", "--literally", "-t", "tree", "-w", file)
	}
	entry := func(mode, name, hash string) string {
		raw := make([]byte, 20)
		_, err := fmt.Sscanf(hash, "%x", &raw)
		require.NoError(t, err)
		return mode + " " + name + "\x00" + string(raw)
	}
	evil := tree(entry("100644", "evil.go", blob))
	bomb := evil
	for range 40 {
		bomb = tree(entry("40000", "a", bomb) + entry("40000", "b", bomb))
	}
	for name, lines := range map[string]string{
		"..":        entry("40000", "..", evil),
		"link out":  entry("40000", "x", tree(entry("40000", "..", evil))),
		"a/../../b": entry("100644", "a/../../b", blob),
		"/etc/x":    entry("100644", "/etc/x", blob),
		"twice":     entry("100644", "a.go", blob) + entry("100644", "a.go", blob),
		"both":      entry("100644", "a.go", blob) + entry("40000", "a.go", evil),
		"lost":      entry("100644", "a.go", strings.Repeat("12", 20)),
		"bomb":      entry("40000", "x", bomb),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "lost" {
				r.Git("config", "uploadpack.allowAnySHA1InWant", "true")
			}
			commit := r.Git("commit-tree", "-m", "x", tree(lines+entry("100644", "go.mod", gomod)))
			r.Git("tag", "-f", "v1.6.6", commit)
			f := c.fetcher(netrc, Options{})
			got := c.fetch(f, module.Version{Path: lib.Path, Version: "v1.6.6"})
			require.Error(t, got.Err)
			t.Log(got.Err)
			require.NotContains(t, got.Err.Error(), "\n")
			zips, err := filepath.Glob(filepath.Join(f.Dir, "modules", host, "lib.git", "@v", "*"))
			require.NoError(t, err)
			for _, file := range zips {
				require.NotContains(t, file, "zip")
				require.NotContains(t, file, "new-")
			}
		})
	}
}

// Transfers that break off are tried again; a server that always does so is named.
func TestBreaksOff(t *testing.T) {
	c := newCorp(t)
	c.newLib()
	good := testkit.Guarded(testkit.GitHandler(t, c.root), testkit.Basic("ci", token))
	broken := func(times int) http.HandlerFunc {
		var n int
		return func(w http.ResponseWriter, r *http.Request) {
			if n++; n <= times {
				w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, "0008NAK\n")
				panic(http.ErrAbortHandler)
			}
			good.ServeHTTP(w, r)
		}
	}
	for _, tt := range []struct {
		part, want string
		times      int
	}{{"info/refs", "", 1}, {"/git-upload-pack", "", 2}, {"/git-upload-pack", "(tried 5 times)", 1000}} {
		fault := broken(tt.times)
		c.web.Handle(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, tt.part) {
				fault(w, r)
				return
			}
			good.ServeHTTP(w, r)
		}))
		got := c.fetch(c.fetcher(netrc, Options{}), lib)
		if tt.want == "" {
			require.NoError(t, got.Err)
			continue
		}
		require.ErrorContains(t, got.Err, "https://"+host+"/lib: ")
		require.ErrorContains(t, got.Err, tt.want)
	}
}

// A build that is stopped stops fetching.
func TestCancel(t *testing.T) {
	c := newCorp(t)
	c.newLib()
	good := testkit.Guarded(testkit.GitHandler(t, c.root), testkit.Basic("ci", token))
	// What comes before the stop is a good beginning: nothing but the stop may end these transfers.
	for part, answer := range map[string]struct{ kind, beginning string }{
		"info/refs":        {"advertisement", "001e# service=git-upload-pack\n0000"},
		"/git-upload-pack": {"result", "0008NAK\n"},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		c.web.Handle(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, part) {
				good.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/x-git-upload-pack-"+answer.kind)
			_, _ = io.WriteString(w, answer.beginning)
			w.(http.Flusher).Flush()
			cancel(errors.New("stopped by the test"))
			<-r.Context().Done()
		}))
		_, err := c.fetcher(netrc, Options{}).Fetch(ctx, lib)
		require.ErrorContains(t, err, "stopped by the test")
	}
}
