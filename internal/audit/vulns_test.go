package audit

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

// program returns a module of one file that requires vuln.example/lib.
func program(version, source string) string {
	return "-- go.mod --\nmodule example.com/p\n\ngo 1.26\n\ntoolchain go1.26.8\n\nrequire vuln.example/lib " + version + "\n-- main.go --\npackage main\n\n" + source
}

// found returns the findings of the rules that are about vulnerabilities in modules, each as SEVERITY: MESSAGE.
func found(r *Report) string {
	var lines []string
	for _, f := range r.Findings {
		if f.Rule == RuleUnchecked || f.Rule == RuleVulnerability && f.Module != stdlib {
			lines = append(lines, f.Severity.String()+": "+f.Message)
		}
	}
	return strings.Join(lines, "\n")
}

const isCalled = "is called from p/main.go:"

func TestVulnerabilities(t *testing.T) {
	parse := "import \"vuln.example/lib\"\n\nfunc main() { lib.Parse(\"x\") }\n"
	for name, tt := range map[string]struct {
		files   string
		prepare func(w *world, dir string)
		want    []string
		notWant string
	}{
		"called":           {program("v1.0.0", parse), nil, []string{"error: GO-2021-0001", "vuln.example/lib.Parse is called from p/main.go:5"}, "warning"},
		"called by method": {program("v1.0.0", "import \"vuln.example/lib\"\n\nvar r interface{ Read() } = &lib.T{}\n\nfunc main() { r.Read() }\n"), nil, []string{"error: GO-2021-0001", "vuln.example/lib.T.Read " + isCalled}, ""},
		"imported":         {program("v1.0.0", "import \"vuln.example/lib\"\n\nfunc main() { lib.Safe() }\n"), nil, []string{"warning: GO-2021-0001", "isn't called"}, "error"},
		"only required":    {program("v1.0.0", "import \"vuln.example/lib/sub\"\n\nfunc main() { sub.F() }\n"), nil, []string{"note: GO-2021-0001", "isn't imported"}, "error"},
		"fixed":            {program("v1.2.0", parse), nil, nil, "GO-"},
		"does not compile": {program("v1.0.0", "func main() { missing() }\n"), nil, []string{"warning: its packages could not be loaded", "p/main.go:3", "undefined: missing", "error: GO-2021-0001", "whether it is called is not known"}, "/tmp"},
		"no version is affected, so nothing is loaded": {program("v1.2.0", "func main() { missing() }\n"), func(w *world, _ string) {
			index := `[{"path":"vuln.example/lib","vulns":[{"id":"GO-2021-0001"}]}]`
			require.NoError(w.t, os.WriteFile(filepath.Join(w.vulnDB, "index", "modules.json"), []byte(index), 0o644))
		}, nil, "could not be loaded"},
		"no go command": {program("v1.0.0", parse), func(w *world, _ string) { w.options.Env["PATH"] = w.t.TempDir() },
			[]string{"there is no go command on PATH", "error: GO-2021-0001"}, ""},
		"no modules": {program("v1.0.0", parse), func(w *world, _ string) { w.options.Modules = nil },
			[]string{"note: there is no folder of modules", "its packages could not be loaded", "error: GO-2021-0001"}, ""},
		"module tampered with": {program("v1.0.0", parse), func(w *world, _ string) {
			testkit.Module{Path: "vuln.example/lib", Version: "v1.0.0", Files: map[string]string{"lib.go": "package lib\n\nfunc Parse(string) {}\n"}}.Write(w.t, w.modules)
		}, []string{"SECURITY ERROR", "error: GO-2021-0001"}, ""},
		"newer Go needed": {strings.Replace(program("v1.0.0", parse), "go 1.26\n\ntoolchain go1.26.8", "go 1.99", 1), nil,
			[]string{"its packages could not be loaded", "1.99", "error: GO-2021-0001"}, ""},
		"vendored": {program("v1.0.0", parse) + "-- vendor/modules.txt --\n# vuln.example/lib v1.0.0\n## explicit\nvuln.example/lib\n-- vendor/vuln.example/lib/lib.go --\npackage lib\n\nfunc Parse(string) {}\n",
			func(w *world, _ string) { w.options.Modules = nil }, []string{"error: GO-2021-0001", isCalled}, "could not be loaded"},
		"a module cache": {program("v1.0.0", parse), func(w *world, _ string) {
			w.options.ModCache = w.t.TempDir()
			require.NoError(w.t, os.CopyFS(filepath.Join(w.options.ModCache, "cache", "download"), os.DirFS(w.modules)))
			w.t.Cleanup(func() { require.NoError(w.t, makeWritable(w.options.ModCache)) })
		}, []string{"error: GO-2021-0001", isCalled}, "could not be loaded"},
		"replaced by a vulnerable one": {strings.Replace(program("v1.0.0", parse), "require vuln.example/lib v1.0.0", "require vuln.example/lib v1.2.0\n\nreplace vuln.example/lib v1.2.0 => vuln.example/lib v1.0.0", 1), nil,
			[]string{"error: GO-2021-0001 in vuln.example/lib@v1.0.0", isCalled}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			dir := w.tree("p", tt.files)
			if tt.prepare != nil {
				tt.prepare(w, dir)
			}
			got := found(w.run())
			for _, want := range tt.want {
				require.Contains(t, got, want)
			}
			if tt.notWant != "" {
				require.NotContains(t, got, tt.notWant)
			}
		})
	}
}

// Whatever the user's environment says, nothing is fetched, no toolchain but the one at hand runs, and no other program
// in the go command's place.
func TestEnvironment(t *testing.T) {
	w := newWorld(t)
	w.tree("p", program("v1.0.0", "func main() {}\n"))
	for _, name := range []string{"GOPROXY", "GOTOOLCHAIN", "GOFLAGS", "GOSUMDB", "GONOPROXY", "GOPRIVATE", "GOWORK", "GOENV", "GOVCS", "GOPACKAGESDRIVER", "GOMODCACHE", "HTTP_PROXY", "SECRET"} {
		t.Setenv(name, "evil")
		w.options.Env[name] = "evil"
	}
	file := filepath.Join(t.TempDir(), "env")
	w.options.Govulncheck = []string{"sh", "-c", "env >'" + file + "'"}
	w.run()
	env, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(env), "evil")
	for _, want := range append(gomod.OfflineEnv(), "GOPACKAGESDRIVER=off", "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0", "GOVERSION=go1.26.8") {
		if want == "GOPROXY=off" {
			want = "GOPROXY=http://127.0.0.1:"
		}
		require.Contains(t, string(env), want)
	}

	w.options.Modules = nil
	w.run()
	env, err = os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(env), "GOPROXY=off\n")
}

func TestVulnerabilitiesLeaveNothing(t *testing.T) {
	temp := t.TempDir()
	w := newWorld(t)
	w.tree("p", program("v1.0.0", "import \"vuln.example/lib\"\n\nfunc main() { lib.Safe() }\n"))
	t.Setenv("TMPDIR", temp)
	w.options.Env["TMPDIR"] = temp
	w.run()
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestCanceled(t *testing.T) {
	w := newWorld(t)
	w.tree("p", program("v1.0.0", "func main() {}\n"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Run(ctx, w.options)
	require.ErrorIs(t, err, context.Canceled)
}

// A scan that is stopped ends at once, and so do the programs that it started.
func TestCanceledScan(t *testing.T) {
	w := newWorld(t)
	w.tree("p", program("v1.0.0", "func main() {}\n"))
	started := filepath.Join(t.TempDir(), "started")
	require.NoError(t, syscall.Mkfifo(started, 0o600))
	w.options.Govulncheck = []string{"sh", "-c", "sleep 1000 & echo >'" + started + "'; wait"}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		_, _ = os.ReadFile(started) // returns when the program has written
	}()
	_, err := Run(ctx, w.options)
	require.ErrorIs(t, err, context.Canceled)
}

func TestBadVulnDB(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"no index":    {"index/modules.json", "", "index/modules.json"},
		"no JSON":     {"index/modules.json", "{", "index/modules.json: unexpected end of JSON input"},
		"evil id":     {"index/modules.json", `[{"path":"vuln.example/lib","vulns":[{"id":"../../x"}]}]`, `malformed id "../../x"`},
		"no entry":    {"ID/GO-2021-0001.json", "", "ID/GO-2021-0001.json"},
		"entry wrong": {"ID/GO-2021-0001.json", "[]", "ID/GO-2021-0001.json: json: cannot unmarshal array"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tree("p", program("v1.0.0", "import \"vuln.example/lib\"\n\nfunc main() { lib.Safe() }\n"))
			file := filepath.Join(w.vulnDB, filepath.FromSlash(tt.file))
			require.NoError(t, os.Remove(file))
			if tt.text != "" {
				require.NoError(t, os.WriteFile(file, []byte(tt.text), 0o644))
			}
			_, err := Run(t.Context(), w.options)
			require.ErrorContains(t, err, "vulnerability database: ")
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestAffects(t *testing.T) {
	semantic := func(events ...event) entry {
		e := entry{Affected: []affected{{Ranges: []versionRange{{"SEMVER", events}}}}}
		e.Affected[0].Package.Name = "a.example/x"
		return e
	}
	two := semantic(event{Introduced: "1.5.0"}, event{Fixed: "1.6.1"}, event{Introduced: "0"}, event{Fixed: "1.2.0"})
	for name, tt := range map[string]struct {
		e           entry
		version     string
		fixed, want string // want is "yes" if it is affected
	}{
		"before the first fix":  {two, "v1.1.9", "v1.2.0", "yes"},
		"the fix":               {two, "v1.2.0", "", ""},
		"between":               {two, "v1.4.0", "", ""},
		"introduced again":      {two, "v1.5.0", "v1.6.1", "yes"},
		"a pre-release of it":   {two, "v1.5.0-rc.1", "", ""},
		"after all":             {two, "v1.7.0", "", ""},
		"never fixed":           {semantic(event{Introduced: "1.0.0"}), "v9.0.0", "", "yes"},
		"no events":             {semantic(), "v1.0.0", "", "yes"},
		"pseudo-version before": {semantic(event{Introduced: "0"}, event{Fixed: "0.0.0-20200101000000-aaaaaaaaaaaa"}), "v0.0.0-20190101000000-bbbbbbbbbbbb", "v0.0.0-20200101000000-aaaaaaaaaaaa", "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			fixed, ok := tt.e.affects(module.Version{Path: "a.example/x", Version: tt.version})
			require.Equal(t, tt.want == "yes", ok)
			require.Equal(t, tt.fixed, fixed)
			_, ok = tt.e.affects(module.Version{Path: "b.example/x", Version: tt.version})
			require.False(t, ok)
		})
	}
	git := entry{Affected: []affected{{Ranges: []versionRange{{Type: "GIT"}}}}}
	_, ok := git.affects(module.Version{})
	require.True(t, ok, "a range that isn't of semantic versions says nothing of them")
}

func TestSemverOf(t *testing.T) {
	for release, want := range map[string]string{"go1.26.8": "v1.26.8", "go1.26": "v1.26.0", "go1.27rc1": "v1.27.0-rc.1", "go1.28beta12": "v1.28.0-beta.12", "devel": "", "": ""} {
		require.Equal(t, want, semverOf(release))
	}
}

// Whatever a database holds, it is read or refused, and what is named in it stays a file of it.
func FuzzVulnDB(f *testing.F) {
	tree := testkit.Tree(f, database)
	index, err := os.ReadFile(filepath.Join(tree, "index", "modules.json"))
	require.NoError(f, err)
	one, err := os.ReadFile(filepath.Join(tree, "ID", "GO-2021-0001.json"))
	require.NoError(f, err)
	f.Add(index, one)
	f.Add([]byte(`[{"path":"a","vulns":[{"id":"../x"},{"id":""}]}]`), []byte(`{"affected":[{"package":{"name":"stdlib"},"ranges":[{"type":"SEMVER","events":[{},{"fixed":"v"},{"introduced":"0","fixed":"0"}]}]}]}`))
	f.Add([]byte(`null`), []byte(`{"withdrawn":"2021-05-02T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, index, data []byte) {
		ids, err := parseIndex(index)
		if err == nil {
			for _, list := range ids {
				for _, id := range list {
					require.True(t, filepath.IsLocal(id+".json"))
					require.Equal(t, id, filepath.Base(id))
				}
			}
		}
		e, err := parseEntry(data)
		if err != nil {
			return
		}
		for _, version := range []string{"v0.0.0", "v1.1.0", "v1.26.8", "v2.0.0-rc.1"} {
			for _, path := range []string{stdlib, "vuln.example/lib"} {
				fixed, ok := e.affects(module.Version{Path: path, Version: version})
				require.False(t, fixed != "" && !ok)
			}
		}
	})
}
