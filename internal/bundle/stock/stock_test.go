package stock

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

func newStocker(t *testing.T, s Settings, env ...string) *Stocker {
	client, err := fetch.NewClient("", nil, fetch.Remedies{Missing: "use another proxy", CA: "pass --ca"})
	require.NoError(t, err)
	env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + testkit.Home(t), "GOMODCACHE=" + testkit.TempModuleCache(t), "GOTOOLCHAIN=local"}, env...)
	st, err := New(s, client, "go", env)
	require.NoError(t, err)
	return st
}

// A private module is fetched from version control, and no proxy hears of it; what a proxy lacks is, too, where the list
// ends in direct, and after a bar what a proxy fails to give.
func TestFromVersionControl(t *testing.T) {
	repo := filepath.Join(t.TempDir(), "lib.git")
	require.NoError(t, os.MkdirAll(repo, 0o755))
	git := func(args ...string) {
		testkit.Run(t, "git", append([]string{"-C", repo, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
	}
	git("init", "-q")
	require.NoError(t, os.WriteFile(filepath.Join(repo, "go.mod"), []byte("module git.example/lib.git\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(repo, "lib.go"), []byte("package lib\n"), 0o644))
	git("add", ".")
	git("commit", "-qm", "first")
	git("tag", "v1.0.0")
	files := map[string]string{"go.mod": "module git.example/lib.git\n", "lib.go": "package lib\n"}
	sums := testkit.Module{Path: "git.example/lib.git", Version: "v1.0.0", Files: files}.Write(t, t.TempDir())
	set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(sums)})
	require.NoError(t, err)

	env := []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://" + repo + ".insteadOf", "GIT_CONFIG_VALUE_0=https://git.example/lib"}
	for name, test := range map[string]struct{ private, then string }{"private": {"git.example", ",direct"}, "not on the proxy": {"", ",direct"}, "proxy is down": {"", "|direct"}} {
		t.Run(name, func(t *testing.T) {
			proxy := testkit.ServeProxy(t, t.TempDir())
			if test.then == "|direct" {
				proxy.Fail("/", testkit.Status(http.StatusForbidden))
			}
			s := newStocker(t, Settings{GOPROXY: proxy.URL + test.then, GOPRIVATE: test.private, GOSUMDB: "off"}, append(env, "GOPRIVATE=git.example")...)
			m := bundle.Maker{Sources: s.Sources()}
			b, err := m.Create(t.Context(), t.TempDir(), bundle.Request{Modules: set})
			require.NoError(t, err)
			got, err := b.Verify(t.Context(), set, "", nil)
			require.NoError(t, err)
			require.Equal(t, 1, got.Modules)
			items, err := b.Items(t.Context())
			require.NoError(t, err)
			require.Equal(t, "version control", items[0].Origin)
			if test.private != "" {
				require.Empty(t, proxy.Requests())
			}
		})
	}
	s := newStocker(t, Settings{GOPROXY: "direct", GOSUMDB: "off"})
	s.Command = ""
	_, _, _, err = s.direct(t.Context(), module.Version{Path: "git.example/lib.git", Version: "v1.0.0"})
	require.ErrorContains(t, err, "there is no go command on this machine")
}

// The go command and git trust the same authorities as Larder: a tool comes by https, and a module by git.
func TestRootsOfGoCommand(t *testing.T) {
	web, modules, repos := testkit.ServeWeb(t), t.TempDir(), t.TempDir()
	web.Handle("proxy.example", testkit.NewProxy(modules))
	web.Handle("git.example", testkit.GitHandler(t, repos))
	testkit.Module{Path: "tool.example/say", Version: "v1.2.0", Files: map[string]string{"main.go": "package main\n\nfunc main() {}\n"}}.Write(t, modules)
	testkit.NewRepo(t, filepath.Join(repos, "lib.git")).Commit(map[string]string{"go.mod": "module git.example/lib.git\n", "lib.go": "package lib\n"}, "v1.0.0")

	s := newStocker(t, Settings{GOSUMDB: "off"}, "HTTPS_PROXY="+web.ProxyURL, "GOPROXY=https://proxy.example", "GOSUMDB=off", "GIT_CONFIG_GLOBAL=/dev/null")
	lib := module.Version{Path: "git.example/lib.git", Version: "v1.0.0"}
	_, err := s.tool(t.Context(), "tool.example/say@v1.2.0")
	require.ErrorContains(t, err, "certificate signed by unknown authority")
	_, _, _, err = s.direct(t.Context(), lib)
	require.ErrorContains(t, err, "fetching it from version control")

	s.Roots = web.CA
	tool, err := s.tool(t.Context(), "tool.example/say@v1.2.0")
	require.NoError(t, err)
	require.Equal(t, "v1.2.0", tool.Version)
	_, mod, _, err := s.direct(t.Context(), lib)
	require.NoError(t, err)
	require.FileExists(t, mod)
}

func TestTool(t *testing.T) {
	dir := t.TempDir()
	for _, m := range []testkit.Module{
		{Path: "tool.example/say", Version: "v1.2.0", Files: map[string]string{"go.mod": "module tool.example/say\n\ngo 1.24\n", "cmd/say/main.go": "package main\n\nfunc main() {}\n"}},
		{Path: "tool.example/say", Version: "v1.3.0", Files: map[string]string{"go.mod": "module tool.example/say\n\ngo 1.26\n", "cmd/say/main.go": "package main\n\nfunc main() {}\n"}},
		{Path: "other.example/say", Version: "v1.0.0", Files: map[string]string{"go.mod": "module other.example/say\n", "main.go": "package main\n\nfunc main() {}\n"}},
	} {
		m.Write(t, dir)
	}
	proxy := testkit.ServeProxy(t, dir)
	s := newStocker(t, Settings{GOPROXY: proxy.URL, GOSUMDB: "off"}, "GOPROXY="+proxy.URL, "GOSUMDB=off")
	read := func(more Options) (bundle.Request, error) {
		more.Platforms = []string{"linux/amd64"}
		return s.Read(t.Context(), more)
	}
	const older, newer, other = "tool.example/say/cmd/say@v1.2.0", "tool.example/say/cmd/say@v1.3.0", "other.example/say@v1.0.0"
	req, err := read(Options{Tools: []string{older, older}})
	require.NoError(t, err)
	require.Len(t, req.Tools, 1)
	require.Equal(t, "say v1.2.0", req.Tools[0].Name+" "+req.Tools[0].Version)
	require.Len(t, req.Modules.Zips(), 1)
	require.Len(t, req.Toolchains, 1, "what it is built by")
	require.Equal(t, gotoolchain.Default, req.Toolchains[0].Version)

	req, err = read(Options{Tools: []string{newer}, Toolchains: []string{"1.25.14"}})
	require.NoError(t, err)
	require.Len(t, req.Toolchains, 2, "another is too old for it")
	require.Equal(t, "go1.26.10", req.Toolchains[1].Version)
	req, err = read(Options{Tools: []string{older}, Toolchains: []string{"1.25.14"}})
	require.NoError(t, err)
	require.Len(t, req.Toolchains, 1, "another will do")

	for spec, want := range map[string]string{"say": "expected PACKAGE@VERSION", "tool.example/say@": "expected PACKAGE@VERSION", "../x@v1.0.0": "malformed import path", "tool.example/none@v9.9.9": "tool.example/none",
		newer: "say is tool.example/say/cmd/say@v1.2.0 by --tool " + older + " and tool.example/say/cmd/say@v1.3.0 by --tool " + newer,
		other: "and other.example/say@v1.0.0 by --tool " + other} {
		_, err := read(Options{Tools: []string{older, spec}})
		require.ErrorContains(t, err, "--tool "+spec)
		require.ErrorContains(t, err, want)
	}
}

// What tool lines name comes along as the tree has it; of two versions the newer, unless --tool says which.
func TestToolLines(t *testing.T) {
	dir := t.TempDir()
	sums := map[string]string{}
	for _, v := range []string{"v1.2.0", "v1.10.0"} {
		sums[v] = testkit.Module{Path: "tool.example/say", Version: v, Files: map[string]string{"go.mod": "module tool.example/say\n\ngo 1.24\n", "main.go": "package main\n\nfunc main() {}\n"}}.Write(t, dir)
	}
	tree := func(version, more string) string {
		return testkit.Tree(t, "-- go.mod --\nmodule example.com/app\n\ngo 1.26\n\nrequire (\n\ttool.example/say "+version+"\n\texample.com/near v0.0.0\n)\n\nreplace example.com/near => ./near\n\n"+
			"tool (\n\texample.com/app/cmd/own\n\texample.com/near\n\ttool.example/say\n"+more+")\n-- go.sum --\n"+sums[version]+"-- near/go.mod --\nmodule example.com/near\n")
	}
	proxy := testkit.ServeProxy(t, dir)
	s := newStocker(t, Settings{GOPROXY: proxy.URL, GOSUMDB: "off"}, "GOPROXY="+proxy.URL, "GOSUMDB=off")
	a, b := tree("v1.2.0", ""), tree("v1.10.0", "")
	for name, test := range map[string]struct {
		opts Options
		want string
	}{
		"one":    {Options{Dirs: []string{a}}, "v1.2.0"},
		"newer":  {Options{Dirs: []string{a, b}}, "v1.10.0"},
		"older":  {Options{Dirs: []string{b, a}}, "v1.10.0"},
		"--tool": {Options{Dirs: []string{b, a}, Tools: []string{"tool.example/say@v1.2.0"}}, "v1.2.0"},
	} {
		test.opts.Platforms = []string{"linux/amd64"}
		req, err := s.Read(t.Context(), test.opts)
		require.NoError(t, err, name)
		require.Len(t, req.Tools, 1, name)
		require.Equal(t, test.want, req.Tools[0].Version, name)
		require.Equal(t, sums[test.want], string(req.Tools[0].GoSum), name)
		if len(test.opts.Tools) == 0 {
			require.Equal(t, "module tools\n\ngo 1.26\n\ntool tool.example/say\n\nrequire tool.example/say "+test.want+"\n", string(req.Tools[0].GoMod))
		}
	}
	c := tree("v1.2.0", "\ttool.example/say/cmd/say\n")
	_, err := s.Read(t.Context(), Options{Dirs: []string{c}, Platforms: []string{"linux/amd64"}})
	require.ErrorContains(t, err, "tool.example/say by "+filepath.Join(c, "go.mod")+":15 and tool.example/say/cmd/say by "+filepath.Join(c, "go.mod")+":16")
	require.ErrorContains(t, err, "say which with --tool")
}

// What looks private is told of before anybody is asked for it.
func TestLeak(t *testing.T) {
	dir := testkit.Tree(t, "-- go.mod --\nmodule git.acme.example/app\n\ngo 1.26\n\nrequire (\n\texample.com/dep v1.0.0\n\tgit.acme.example/lib v1.0.0\n)\n-- go.sum --\n"+
		"example.com/dep v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\ngit.acme.example/lib v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	const looks = ": git.acme.example/lib looks private: it is on the code host of the main module; what isn't at hand is asked of "
	for _, test := range []struct {
		settings Settings
		sumdb    bool
		want     string
	}{
		{Settings{}, true, looks + "https://proxy.golang.org and the checksum database: set GOPRIVATE=git.acme.example, unless that may be"},
		{Settings{GOPROXY: "https://athens.acme.example,https://proxy.golang.org|direct"}, false, looks + "https://proxy.golang.org: set "},
		{Settings{GOPROXY: "https://athens.acme.example"}, true, looks + "the checksum database: set "},
		{Settings{GOPROXY: "https://athens.acme.example", GOSUMDB: "off"}, true, ""},
		{Settings{GONOPROXY: "git.acme.example"}, true, looks + "the checksum database: set "},
		{Settings{GOPRIVATE: "git.acme.example"}, true, ""},
	} {
		told := ""
		_, err := newStocker(t, test.settings).Read(t.Context(), Options{Dirs: []string{dir}, Platforms: []string{"linux/amd64"}, SumDB: test.sumdb, Warn: func(what string) { told += what }})
		require.NoError(t, err)
		if test.want == "" {
			require.Empty(t, told, "%+v", test.settings)
		} else {
			require.Contains(t, told, dir+test.want, "%+v", test.settings)
		}
	}
}

func TestVulnDB(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("index/db.json")
	require.NoError(t, err)
	_, err = w.Write([]byte("{}"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/db/vulndb.zip" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b.Bytes())
	}))
	defer srv.Close()
	s := newStocker(t, Settings{})
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "index"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "index", "db.json"), []byte("{}"), 0o644))
	for _, from := range []string{srv.URL + "/db/vulndb.zip", srv.URL + "/db", srv.URL + "/db/", folder, "file://" + folder} {
		db, closeDB, err := s.VulnDB(t.Context(), from)
		require.NoError(t, err, from)
		_, err = fs.Stat(db, "index/db.json")
		require.NoError(t, err, from)
		require.NoError(t, closeDB())
	}
	_, _, err = s.VulnDB(t.Context(), srv.URL+"/none.zip")
	require.ErrorContains(t, err, "404")
	_, _, err = s.VulnDB(t.Context(), "https:///vulndb.zip")
	require.ErrorContains(t, err, "expected one such as https://vuln.go.dev")
	_, _, err = s.VulnDB(t.Context(), t.TempDir())
	require.ErrorContains(t, err, "holds no Go vulnerability database")
}

// Two trees that disagree on a module's hash can't share a bundle.
func TestTreesDisagree(t *testing.T) {
	var dirs []string
	for _, text := range []string{"package lib\n", "package lib // changed\n"} {
		dir := t.TempDir()
		sums := testkit.Module{Path: "a.example/lib", Version: "v1.0.0", Files: map[string]string{"lib.go": text}}.Write(t, t.TempDir())
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), []byte(sums), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/x\n\ngo 1.26\n\nrequire a.example/lib v1.0.0\n"), 0o644))
		dirs = append(dirs, dir)
	}
	_, err := newStocker(t, Settings{}).Read(t.Context(), Options{Dirs: dirs, Platforms: []string{"linux/amd64"}})
	require.ErrorContains(t, err, dirs[0])
	require.ErrorContains(t, err, dirs[1])
	require.ErrorContains(t, err, "a.example/lib@v1.0.0 is listed as h1:")
}

// What a bundle at hand has the checksum database's word on needs no database.
func TestToolchainOfBundle(t *testing.T) {
	dir := t.TempDir()
	chosen := gotoolchain.Toolchain{Version: "go1.26.1"} // of which there is no pin
	line := testkit.Module{Path: gomod.ToolchainPath, Version: chosen.ModuleVersion("linux", "amd64"), Files: map[string]string{"VERSION": "go1.26.1"}}.Write(t, dir)
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example")
	require.NoError(t, err)
	db := httptest.NewServer(sumdb.NewServer(sumdb.NewTestServer(signer, func(string, string) ([]byte, error) { return []byte(line), nil })))
	proxy := testkit.ServeProxy(t, dir)
	online := newStocker(t, Settings{GOPROXY: proxy.URL, GOSUMDB: key + " " + db.URL})
	opts := Options{Toolchains: []string{"1.26.1"}, Platforms: []string{"linux/amd64"}}
	want, err := online.Read(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, strings.Fields(line)[2], want.Toolchains[0].H1)
	want.SumDB, err = online.SumDB()
	require.NoError(t, err)
	b, err := bundle.Maker{Sources: online.Sources()}.Create(t.Context(), t.TempDir(), want)
	require.NoError(t, err)

	db.Close()
	behind := newStocker(t, Settings{GOPROXY: "off", GOSUMDB: key + " " + db.URL})
	folder, view, err := b.Folder(t.Context())
	require.NoError(t, err)
	defer view.Close()
	behind.Folders = []bundle.Folder{folder}
	got, err := behind.Read(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, want.Toolchains, got.Toolchains)
}
