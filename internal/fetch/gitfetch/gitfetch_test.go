package gitfetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/credentials"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/testkit"
)

const (
	host  = "git.corp.example"
	token = "s3cret-t0ken"
)

// A corp is a company: a git server that wants a token, and what its people keep to reach it.
type corp struct {
	*testing.T
	web  *testkit.Web
	root string // of the host's repositories
	ca   string // file
}

func newCorp(t *testing.T) *corp {
	c := &corp{T: t, web: testkit.ServeWeb(t), root: t.TempDir()}
	c.web.Handle(host, testkit.Guarded(testkit.GitHandler(t, c.root), testkit.Basic("ci", token)))
	c.ca = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(c.ca, c.web.CA, 0o644))
	t.Setenv("HTTPS_PROXY", c.web.ProxyURL)
	t.Setenv("HTTP_PROXY", c.web.ProxyURL)
	return c
}

func (c *corp) repo(name string, args ...string) *testkit.Repo {
	return testkit.NewRepo(c, filepath.Join(c.root, name), args...)
}

var netrc = credentials.Files{Netrc: []byte("machine " + host + " login ci password " + token + "\nmachine modules.corp.example login ci password " + token + "\n")}

// fetcher returns a Fetcher with credentials.
func (c *corp) fetcher(files credentials.Files, o Options) *Fetcher {
	store, err := credentials.Parse(files)
	require.NoError(c, err)
	o.Client, err = fetch.NewClient(c.ca, store, fetch.Remedies{
		Missing: "use another proxy", CA: "pass --ca", Credentials: "pass --secret id=netrc,src=FILE",
	})
	require.NoError(c, err)
	o.Dir, o.Rewriter = c.TempDir(), store
	f, err := New(o)
	require.NoError(c, err)
	return f
}

// A result is what matters of a fetched module: hashes as in go.sum, or the error.
type result struct {
	Zip, Mod  string
	Ver, Time string
	Err       error
}

func read(t *testing.T, zip, mod, info string) result {
	var r result
	var err error
	r.Zip, err = dirhash.HashZip(zip, dirhash.Hash1)
	require.NoError(t, err)
	data, err := os.ReadFile(mod)
	require.NoError(t, err)
	r.Mod, err = modfetch.HashMod(data)
	require.NoError(t, err)
	data, err = os.ReadFile(info)
	require.NoError(t, err)
	var i struct{ Version, Time string }
	require.NoError(t, json.Unmarshal(data, &i))
	r.Ver, r.Time = i.Version, i.Time
	return r
}

func (c *corp) fetch(f *Fetcher, m module.Version) result {
	files, err := f.Fetch(c.Context(), m)
	if err != nil {
		return result{Err: err}
	}
	return read(c.T, files.Zip, files.Mod, files.Info)
}

// byGo has the real go command fetch modules with GOPROXY=direct, and the real git below it.
func (c *corp) byGo(env []string, mods ...module.Version) map[module.Version]result {
	home := testkit.Home(c)
	require.NoError(c, os.WriteFile(filepath.Join(home, ".netrc"), netrc.Netrc, 0o600))
	args := []string{"mod", "download", "-json"}
	for _, m := range mods {
		args = append(args, m.String())
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = home
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GOPROXY=direct", "GOSUMDB=off", "GOPRIVATE=*.example", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOENV=off",
		"GOPATH=" + filepath.Join(home, "go"), "HTTPS_PROXY=" + c.web.ProxyURL, "HTTP_PROXY=" + c.web.ProxyURL,
		"SSL_CERT_FILE=" + c.ca, "GIT_SSL_CAINFO=" + c.ca, "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0",
	}, env...)
	out, err := cmd.Output() // which also fails for one that fails
	var exit *exec.ExitError
	require.True(c, err == nil || errors.As(err, &exit), "%v", err)
	results := map[module.Version]result{}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var got struct{ Path, Version, Zip, GoMod, Info, Error string }
		require.NoError(c, d.Decode(&got))
		m := module.Version{Path: got.Path, Version: got.Version}
		if got.Error != "" {
			results[m] = result{Err: errors.New(got.Error)}
			continue
		}
		results[m] = read(c.T, got.Zip, got.GoMod, got.Info)
	}
	return results
}

// silent checks that no secret is in a text.
func silent(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{token, strings.TrimPrefix(testkit.Basic("ci", token), "Basic ")} {
		require.NotContains(t, text, secret)
	}
}

// What Larder makes of repositories of many shapes is what the go command makes of them.
func TestAsGoDoes(t *testing.T) {
	c := newCorp(t)
	c.web.Handle("vanity.corp.example", testkit.GoGet(map[string]string{
		"vanity.corp.example/shop":     "vanity.corp.example/shop git https://" + host + "/vanity",
		"vanity.corp.example/two/v2":   "vanity.corp.example/two/v2 git https://" + host + "/two",
		"vanity.corp.example/in":       "vanity.corp.example/in git https://" + host + "/many sub/dir",
		"vanity.corp.example/proxied":  "vanity.corp.example/proxied mod https://modules.corp.example/up",
		"vanity.corp.example/subv/old": "vanity.corp.example/subv git https://" + host + "/vanity",
		"vanity.corp.example/hg":       "vanity.corp.example/hg hg https://" + host + "/hg",
	}, http.NotFoundHandler()))
	folder := t.TempDir()
	testkit.Module{Path: "vanity.corp.example/proxied", Version: "v1.0.0"}.Write(t, filepath.Join(folder, "up"))
	c.web.Handle("modules.corp.example", testkit.Guarded(testkit.NewProxy(folder), testkit.Basic("ci", token)))
	c.web.Handle("github.com", testkit.GitHandler(t, c.root))
	c.web.Handle("gopkg.in", testkit.GoGet(map[string]string{
		"gopkg.in/yaml.v3": "gopkg.in/yaml.v3 git https://gopkg.in/yaml.v3",
	}, testkit.GitHandler(t, c.root)))
	mods := shapes(c)
	want := c.byGo(nil, mods...)
	f := c.fetcher(netrc, Options{GOPRIVATE: "*.example"})
	for _, m := range mods {
		t.Run(m.String(), func(t *testing.T) {
			require.Contains(t, want, m)
			got := c.fetch(f, m)
			if want[m].Err != nil {
				require.Error(t, got.Err, "go says: %v", want[m].Err)
				t.Logf("go: %v\nLarder: %v", want[m].Err, got.Err)
				return
			}
			require.NoError(t, got.Err)
			require.Equal(t, want[m], got)
			files, err := f.FetchMod(t.Context(), m)
			require.NoError(t, err)
			require.Empty(t, files.Zip)
		})
	}
}

// shapes makes the repositories, and returns the versions to compare, also those that there aren't.
func shapes(c *corp) []module.Version {
	var mods []module.Version
	add := func(path string, versions ...string) {
		for _, v := range versions {
			mods = append(mods, module.Version{Path: path, Version: v})
		}
	}
	base := host + "/"
	gomod := func(path string) string { return "module " + path + "\n\ngo 1.24\n" }

	simple := c.repo("simple")
	first := simple.Commit(map[string]string{"go.mod": gomod(base + "simple.git"), "a.go": "package a\n", "vendor/modules.txt": "# x\n", "LICENSE": "do\n"}, "v0.1.0")
	second := simple.Commit(map[string]string{"a.go": "package a // 2\n", "deep/x_test.go": "package x\n"})
	simple.Git("tag", "-a", "-m", "annotated", "v1.0.0")
	third := simple.Commit(map[string]string{"a.go": "package a // 3\n"})
	head := simple.Commit(map[string]string{"a.go": "package a // 4\n"})
	simple.Git("checkout", "-q", "-b", "side", first)
	side := simple.Commit(map[string]string{"side.go": "package a\n"})
	simple.Git("checkout", "-q", "--detach")
	lost := simple.Commit(map[string]string{"lost.go": "package a\n"}) // no branch has it
	simple.Git("update-ref", "refs/pull/1/head", lost)
	simple.Git("checkout", "-q", "main")
	add(base+"simple.git", "v0.1.0", "v1.0.0", "v1.0.1", "v0.0.0-20260301120000-000000000000",
		simple.Pseudo("", "", first), simple.Pseudo("", "v0.1.0", side), simple.Pseudo("", "v1.0.0", third), simple.Pseudo("", "v1.0.0", head),
		simple.Pseudo("", "v0.1.0", lost), strings.Replace(simple.Pseudo("", "v1.0.0", head), "-0.2026", "-0.2025", 1))
	_ = second

	many := c.repo("many")
	many.Commit(map[string]string{
		"go.mod": gomod(base + "many.git"), "root.go": "package many\n", "LICENSE": "root's\n",
		"sub/dir/go.mod": gomod("vanity.corp.example/in"), "sub/dir/b.go": "package b\n",
		"sub/go.mod": gomod(base + "many.git/sub"), "sub/c.go": "package c\n", "sub/LICENSE": "sub's\n",
		"v2/go.mod": gomod(base + "many.git/v2"), "v2/d.go": "package d\n",
		"sub/v3/go.mod": gomod(base + "many.git/sub/v3"), "sub/v3/e.go": "package e\n",
		"nomod/x.go": "package nomod\n",
	}, "v1.2.0", "v2.0.0", "sub/v0.3.0", "sub/dir/v0.4.0", "sub/v3.1.0", "v2.1.0-rc.1", "nomod/v1.0.0", "v3.0.0", "sub/dir/v1.0.0")
	add(base+"many.git", "v1.2.0", "v2.0.0+incompatible")
	add(base+"many.git/sub", "v0.3.0", "v0.4.0")
	add(base+"many.git/v2", "v2.0.0", "v2.1.0-rc.1")
	add(base+"many.git/v3", "v3.0.0")
	add(base+"many.git/sub/v3", "v3.1.0")
	add(base+"many.git/nomod", "v1.0.0")
	add("vanity.corp.example/in", "v1.0.0", "v0.4.0")

	branch := c.repo("branch") // v2 in the root, as most have it
	branch.Commit(map[string]string{"go.mod": gomod(base + "branch.git"), "a.go": "package a\n"}, "v1.0.0")
	branch.Commit(map[string]string{"go.mod": gomod(base + "branch.git/v2"), "a.go": "package a // 2\n"}, "v2.0.0")
	after := branch.Commit(map[string]string{"a.go": "package a // 3\n"})
	add(base+"branch.git", "v1.0.0", "v2.0.0+incompatible")
	add(base+"branch.git/v2", "v2.0.0", branch.Pseudo("v2", "v2.0.0", after))

	old := c.repo("old") // from before modules
	old.Commit(map[string]string{"a.go": "package a\n", "sub/LICENSE": "x\n"}, "v1.0.0", "v2.3.4", "v3.0.0-beta")
	last := old.Commit(map[string]string{"a.go": "package a // 2\n"})
	add(base+"old.git", "v1.0.0", "v2.3.4+incompatible", "v3.0.0-beta+incompatible", old.Pseudo("", "", last), old.Pseudo("", "v2.3.4", last)+"+incompatible")

	vanity := c.repo("vanity")
	vanity.Commit(map[string]string{"go.mod": gomod("vanity.corp.example/shop"), "a.go": "package a\n"}, "v1.0.0")
	add("vanity.corp.example/shop", "v1.0.0")
	add("vanity.corp.example/subv/old", "v1.0.0")
	add("vanity.corp.example/hg", "v1.0.0")
	add("vanity.corp.example/nothing", "v1.0.0")
	two := c.repo("two")
	two.Commit(map[string]string{"go.mod": gomod("vanity.corp.example/two/v2"), "a.go": "package a\n"}, "v2.0.0")
	add("vanity.corp.example/two/v2", "v2.0.0")

	add("vanity.corp.example/proxied", "v1.0.0", "v1.1.0")

	yaml := c.repo("yaml.v3")
	yaml.Commit(map[string]string{"go.mod": gomod("gopkg.in/yaml.v3"), "a.go": "package a\n"}, "v3.0.0")
	odd := yaml.Commit(map[string]string{"a.go": "package a // 2\n"})
	add("gopkg.in/yaml.v3", "v3.0.0", yaml.Pseudo("v3", "v3.0.0", odd))

	hub := c.repo("owner/name")
	hub.Commit(map[string]string{"go.mod": gomod("github.com/owner/name/v2"), "sub/go.mod": gomod("github.com/owner/name/sub"), "LICENSE": "x\n"}, "v2.0.0", "sub/v1.0.0")
	add("github.com/owner/name/v2", "v2.0.0")
	add("github.com/owner/name/sub", "v1.0.0")
	add("github.com/owner", "v1.0.0")
	add("github.com/owner/other", "v1.0.0")

	attributes := c.repo("attributes")
	attributes.Write(map[string]string{
		".gitattributes": "*.bat text eol=crlf\n*.auto text=auto eol=crlf\n*.id ident\n*.legacy crlf eol=crlf\n*.bin binary\n/top.txt eol=crlf\n[attr]dos text eol=crlf\n*.dos dos\n*.gone export-ignore\n*.subst export-subst\nvendored/** -text\n",
		"go.mod":         gomod(base + "attributes.git"), "a.bat": "echo\nhello\n", "b.auto": "one\ntwo\n", "c.auto": "a\x00b\nc\n", "d.id": "$Id$ and $Id: old $ $Id: a b c $ $Idea$\n",
		"e.legacy": "x\ny\n", "f.bin": "x\ny\n", "top.txt": "t\n", "sub/top.txt": "t\n", "g.dos": "x\ny\n", "h.gone": "here\n", "i.subst": "$Format:%H$\n",
		"vendored/j.bat": "x\ny\n", "sub/.gitattributes": "*.bat -text\n*.txt text eol=crlf\n", "sub/k.bat": "x\ny\n", "sub/l.txt": "x\ny\n",
		"sub/go.mod": gomod(base + "attributes.git/sub"), "sub/deep/m.txt": "x\ny\n", "sub/deep/n.dos": "x\ny\n", "o.bat": "x\ny",
	})
	attributes.Commit(map[string]string{}, "v1.0.0", "sub/v1.0.0")
	add(base+"attributes.git", "v1.0.0")
	add(base+"attributes.git/sub", "v1.0.0")

	links := c.repo("links")
	links.Write(map[string]string{"go.mod": gomod(base + "links.git"), "a.go": "package a\n", "LICENSE": "root's\n", "sub/go.mod": gomod(base + "links.git/sub"), "sub/x.go": "package x\n"})
	require.NoError(c, os.Symlink("a.go", filepath.Join(links.Dir, "link.go")))
	require.NoError(c, os.Symlink("../../outside", filepath.Join(links.Dir, "out")))
	require.NoError(c, os.Symlink("../LICENSE", filepath.Join(links.Dir, "sub", "LICENSE")))
	links.Git("update-index", "--add", "--cacheinfo", "160000,"+first+",module")
	require.NoError(c, os.Chmod(filepath.Join(links.Dir, "a.go"), 0o755))
	links.Git("add", "-A", "--", "a.go", "go.mod", "LICENSE", "link.go", "out", "sub")
	links.CommitIndex("v1.0.0", "sub/v1.0.0")
	add(base+"links.git", "v1.0.0")
	add(base+"links.git/sub", "v1.0.0")

	for i, names := range [][]string{{"A.go", "a.go"}, {"con.go"}, {"a b.go", "ü.go", "x?.go"}, {".github/x", ".hidden"}, {strings.Repeat("l", 200) + ".go"}} {
		name := fmt.Sprintf("names%d", i)
		files := map[string]string{"go.mod": gomod(base + name + ".git")}
		for _, n := range names {
			files[n] = "package a\n"
		}
		c.repo(name).Commit(files, "v1.0.0")
		add(base+name+".git", "v1.0.0")
	}
	return mods
}
