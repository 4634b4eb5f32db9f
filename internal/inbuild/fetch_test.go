package inbuild

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

func TestFetch(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	srv := testkit.ServeProxy(t, dir)
	empty := testkit.ServeProxy(t, t.TempDir())
	file := writeSums(t, sums)
	folder := t.TempDir()
	mustStep(t, "modules", "--sums", file, "--from", dir, "--out", folder)
	fromFolder := snapshot(t, folder)
	for name, goproxy := range map[string]string{
		"http":                srv.URL,
		"trailing slash":      srv.URL + "/,direct",
		"folder":              "file://" + dir,
		"404 then next":       empty.URL + "," + srv.URL,
		"folder without":      "file://" + t.TempDir() + "," + srv.URL,
		"any error then next": "http://127.0.0.1:1/|" + srv.URL,
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "a", "out")
			stdout := mustStep(t, "modules", "--sums", file, "--goproxy", goproxy, "--out", out)
			require.Contains(t, stdout, "fetched, checked and unpacked 3 modules and 3 go.mod files")
			require.Equal(t, fromFolder, snapshot(t, out))
		})
	}
}

func TestFetchAsksForNothingElse(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	proxy := testkit.ServeProxy(t, dir)
	// Only the zip of one module and the go.mod file of another are listed.
	lines := strings.SplitAfter(sums, "\n")
	mustStep(t, "modules", "--sums", writeSums(t, lines[0]+lines[3]), "--goproxy", proxy.URL, "--out", t.TempDir())
	require.ElementsMatch(t, []string{
		"/example.com/hello/@v/v1.2.3.zip",
		"/example.com/!upper/!case/@v/v0.0.0-20200102030405-0123456789ab.mod",
	}, proxy.Take())
}

func TestFetchEmptySet(t *testing.T) {
	out := t.TempDir()
	mustStep(t, "modules", "--sums", writeSums(t, ""), "--goproxy", "off", "--out", out)
	require.Empty(t, names(t, out))
}

func TestFetchErrors(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	good := testkit.ServeProxy(t, dir).URL
	empty := testkit.ServeProxy(t, t.TempDir()).URL
	answer := func(status int, text string) string {
		proxy := testkit.ServeProxy(t)
		proxy.Fail("/", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { http.Error(w, text, status) })
		return proxy.URL
	}
	file := writeSums(t, sums)
	const hello, context = "example.com/hello@v1.2.3", "larder-modules"
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"off":            {[]string{"--goproxy", "off"}, []string{"GOPROXY=off", "6 files of modules", context}},
		"404 then off":   {[]string{"--goproxy", empty + ",off"}, []string{hello, "GOPROXY=off", context}},
		"404":            {[]string{"--goproxy", empty}, []string{hello, empty + ": it answered 404", context}},
		"no such folder": {[]string{"--goproxy", "file:///no/such/dir"}, []string{hello, "file:///no/such/dir"}},
		"403 ends a comma list": {
			[]string{"--goproxy", answer(403, "blocked by policy\nmore") + "," + good},
			[]string{hello, `403 Forbidden ("blocked by policy"): 127.0.0.1`},
		},
		"hostile text":  {[]string{"--goproxy", answer(400, "a\x1b[31m\rlarder: all is well")}, []string{`("a\x1b[31m\rlarder: all is well")`}},
		"bad list":      {[]string{"--goproxy", "nonsense"}, []string{"entry 1 of GOPROXY"}},
		"closed port":   {[]string{"--goproxy", "http://127.0.0.1:1"}, []string{hello, "http://127.0.0.1:1: ", "connection refused", "tried 5 times"}},
		"wrong scheme":  {[]string{"--goproxy", "https" + strings.TrimPrefix(good, "http")}, []string{hello, "HTTP response to HTTPS client"}},
		"refused again": {[]string{"--goproxy", answer(403, "no") + "|" + empty}, []string{"403 Forbidden", "; " + empty + ": it answered 404"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failStep(t, filepath.Join(t.TempDir(), "out"), append([]string{"modules", "--sums", file}, tt.args...), tt.want...)
		})
	}
}

func TestFetchPrivateThroughProxy(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	mustStep(t, "modules", "--sums", writeSums(t, sums), "--goproxy", testkit.ServeProxy(t, dir).URL, "--out", t.TempDir(),
		"--goprivate", "example.com", "--gonoproxy", "none")
}

// What no proxy may be asked for, or has, is asked of the module's own host, and of nobody else.
func TestFetchDirect(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	web := testkit.ServeWeb(t)
	web.Handle("example.com", http.NotFoundHandler())
	t.Setenv("HTTPS_PROXY", web.ProxyURL)
	served := testkit.ServeProxy(t, dir)
	served.Fail("/old/", func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { t.Errorf("asked for %s", r.URL) })
	proxy := served.URL
	empty := testkit.ServeProxy(t, t.TempDir()).URL
	const old, hello = "example.com/old@v2.0.0+incompatible: ", "example.com/hello@v1.2.3: "
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"private":         {[]string{"--goproxy", proxy, "--goprivate", "*.corp,example.com/old"}, []string{old, "https://example.com/old?go-get=1: "}},
		"noproxy":         {[]string{"--goproxy", "off", "--gonoproxy", "example.com"}, []string{old, hello}},
		"direct":          {[]string{"--goproxy", "direct"}, []string{old, hello, "next in GOPROXY is direct; https://example.com/hello?go-get=1: "}},
		"404 then direct": {[]string{"--goproxy", empty + ",direct"}, []string{hello, empty + ": it answered 404 Not Found; next in GOPROXY is direct; https://example.com/hello?go-get=1: "}},
	} {
		t.Run(name, func(t *testing.T) {
			got := failStep(t, filepath.Join(t.TempDir(), "out"), append([]string{"modules", "--sums", writeSums(t, sums)}, tt.args...), tt.want...)
			require.Equal(t, name == "private", !strings.Contains(got, hello), got)
		})
	}
}

// A proxy that serves other bytes than go.sum was made with is named, and the next one isn't asked instead.
func TestFetchWrongHash(t *testing.T) {
	good, sums := makeProxy(t, threeModules...)
	for name, change := range map[string]func(m *testModule) string{
		"zip": func(m *testModule) string { m.files["hello.go"] += "// changed\n"; return "the zip from " },
		"mod": func(m *testModule) string { m.files["go.mod"] += "// changed\n"; return "the go.mod file from " },
	} {
		t.Run(name, func(t *testing.T) {
			mods := []testModule{{threeModules[0].path, threeModules[0].version, map[string]string{}}, threeModules[1], threeModules[2]}
			for k, v := range threeModules[0].files {
				mods[0].files[k] = v
			}
			want := change(&mods[0])
			dir, other := makeProxy(t, mods...)
			bad := testkit.ServeProxy(t, dir).URL
			var got, line string
			for l := range strings.Lines(other) {
				if !strings.Contains(sums, l) && strings.Contains(l, "/go.mod ") == (name == "mod") {
					got = strings.Fields(l)[2]
				}
			}
			for l := range strings.Lines(sums) {
				if strings.HasPrefix(l, "example.com/hello v1.2.3") && strings.Contains(l, "/go.mod ") == (name == "mod") {
					line = strings.Fields(l)[2]
				}
			}
			failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--goproxy", bad + "|file://" + good},
				"example.com/hello@v1.2.3: "+want+bad+" has "+got+", go.sum says "+line)
		})
	}
}

func TestFetchReportsAllThatFail(t *testing.T) {
	var mods []testModule
	for i := range 14 {
		mods = append(mods, testModule{fmt.Sprintf("example.com/m%02d", i), "v1.0.0", map[string]string{"a.go": "package a\n"}})
	}
	dir, sums := makeProxy(t, mods...)
	for i, m := range mods {
		if i != 3 {
			require.NoError(t, os.Remove(proxyFile(t, dir, m, ".zip")))
		}
	}
	stderr := failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--goproxy", testkit.ServeProxy(t, dir).URL}, "example.com/m00@v1.0.0", "and 3 more")
	require.NotContains(t, stderr, "example.com/m03@")
	require.Equal(t, 11, strings.Count(stderr, "\n"))
}

func TestFetchCancelled(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	ctx, cancel := context.WithCancel(t.Context())
	srv := testkit.ServeProxy(t, dir)
	srv.Fail("/", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		cancel()
		testkit.Stalled(w, r, next)
	})
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := Main(ctx, []string{"modules", "--sums", writeSums(t, sums), "--goproxy", srv.URL, "--out", out}, &stdout, &stderr)
	require.Equal(t, exitFailure, code)
	require.Equal(t, "larder: fetching modules was stopped after 0 of 6 files: context canceled\n", stderr.String())
	requireEmpty(t, out)
}

func TestOutputMustBeEmpty(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	out := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(out, "mine"), []byte("x"), 0o644))
	code, _, stderr := runStep(t, "modules", "--sums", writeSums(t, sums), "--goproxy", "file://"+dir, "--out", out)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "is not empty (it holds mine)")
	require.Equal(t, []string{"mine"}, names(t, out))
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"nonsense"},
		{"modules"},
		{"modules", "--nonsense"},
		{"modules", "--sums", "x", "--out", "y", "--goproxy", "off", "more"},
		{"modules", "--sums", "x", "--out", "y"},
		{"fetch-toolchain", "--version", "go1.26.10"},
		{"unpack-toolchain", "--zip", "x", "--out", "y"},
		{"unpack-toolchain", "--zip", "x", "--out", "y", "--h1", "h", "--h1-file", "f"},
		{"static", "--zoneinfo", "x"},
	} {
		code, _, stderr := runStep(t, args...)
		require.Equal(t, exitUsage, code, args)
		require.True(t, strings.HasPrefix(stderr, "larder: in-build"), stderr)
	}
}

// A zip that is none of the module's is refused before its hash is asked for, and so is a page that isn't a zip.
func TestFetchNotAModuleZip(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	page := testkit.ServeProxy(t)
	page.Fail("/", testkit.Bytes([]byte("<html>log in</html>")))
	failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--goproxy", page.URL}, "example.com/hello@v1.2.3: refusing its zip", "not a valid zip file")

	link := &zip.FileHeader{Name: "example.com/hello@v1.2.3/link"}
	link.SetMode(os.ModeSymlink | 0o777)
	data := makeZip(t, []*zip.FileHeader{link}, func(string) string { return "/etc/passwd" })
	require.NoError(t, os.WriteFile(proxyFile(t, dir, threeModules[0], ".zip"), data, 0o644))
	failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--goproxy", "file://" + dir}, `entry "example.com/hello@v1.2.3/link": it is not a regular file`)
}
