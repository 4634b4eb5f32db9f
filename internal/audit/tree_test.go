package audit

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/larder-build/larder/internal/proof/license"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

// audited returns what is found in a tree of one archive with the modules of the world, and no vulnerability database,
// each as FILE:LINE: SEVERITY: [RULE] MESSAGE.
func audited(w *world, archive string) string {
	w.options.VulnDB = nil
	w.options.MaxAge = Age{}
	w.tree("t", archive)
	var b strings.Builder
	require.NoError(w.t, w.run().WriteText(&b))
	return b.String()
}

func TestMalformedTrees(t *testing.T) {
	const good = "-- a/go.mod --\nmodule example.com/a\n\ngo 1.26\n"
	for name, tt := range map[string]struct{ archive, want string }{
		"no module":         {"-- README --\n", "t: there is no go.mod in it"},
		"unknown directive": {"-- go.mod --\nmodule example.com/a\n\nrequires x\n", "t/go.mod:3: unknown directive: requires"},
		"two errors":        {"-- go.mod --\nmodule example.com/a\nrequires x\nrequires y\n", "t/go.mod:2: unknown directive: requires"},
		"no module line":    {"-- go.mod --\ngo 1.26\n", "t/go.mod has no module line: add"},
		"branch":            {"-- go.mod --\nmodule example.com/a\nrequire b.example/b main\n", "t/go.mod:2: "},
		"go.sum":            {good + "-- a/go.sum --\n\nb.example/b v1.0.0\n", "t/a/go.sum:2: malformed go.sum line"},
		"go.work":           {good + "-- go.work --\ngo 1.26\nuses ./a\n", "t/go.work:2: unknown directive: uses"},
		"go.work, no go.mod": {good + "-- go.work --\ngo 1.26\nuse (\n\t./a\n\t./b\n)\n",
			"t/go.work:4: use ./b: reading t/b/go.mod: open b/go.mod: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tree("t", tt.archive)
			_, err := Run(t.Context(), w.options)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	t.Run("too large", func(t *testing.T) {
		tree := Tree{Name: "t", FS: fstest.MapFS{"go.mod": {Data: bytes.Repeat([]byte("\n"), maxFile+1)}}}
		_, err := Run(t.Context(), Options{Trees: []Tree{tree}})
		require.ErrorContains(t, err, "t/go.mod is larger than 16777216 bytes")
	})
	t.Run("link out of the tree", func(t *testing.T) {
		secret := filepath.Join(t.TempDir(), "go.mod")
		require.NoError(t, os.WriteFile(secret, []byte("module example.com/secret\n"), 0o644))
		dir := t.TempDir()
		require.NoError(t, os.Symlink(secret, filepath.Join(dir, "go.mod")))
		root, err := os.OpenRoot(dir)
		require.NoError(t, err)
		defer root.Close()
		_, err = Run(t.Context(), Options{Trees: []Tree{{Name: "t", Dir: dir, FS: root.FS()}}})
		require.ErrorContains(t, err, "t/go.mod: ")
		require.ErrorContains(t, err, "path escapes from parent")
	})
}

func TestLicensePatterns(t *testing.T) {
	w := newWorld(t)
	w.tree("t", "-- go.mod --\nmodule example.com/a\n\ngo 1.26\n")
	w.options.DenyLicenses = []string{"["}
	_, err := Run(t.Context(), w.options)
	require.ErrorContains(t, err, `licence pattern "[": syntax error in pattern`)
}

func TestSums(t *testing.T) {
	const mod = "-- go.mod --\nmodule example.com/a\n\ngo 1.26\n\nrequire vuln.example/lib v1.0.0\n"
	lines := func(w *world, drop string) string {
		var keep []string
		for line := range strings.Lines(w.sums) {
			if !strings.HasPrefix(line, drop) {
				keep = append(keep, line)
			}
		}
		return mod + "-- go.sum --\n" + strings.Join(keep, "")
	}
	for name, tt := range map[string]struct {
		archive func(w *world) string
		want    string
	}{
		"all there":     {func(w *world) string { return lines(w, "none") }, ""},
		"no zip":        {func(w *world) string { return lines(w, "vuln.example/lib v1.0.0 h1") }, "t/go.mod:5: warning: [missing-sum] go.sum has no line for the zip of vuln.example/lib@v1.0.0; go mod tidy"},
		"no go.mod":     {func(w *world) string { return lines(w, "vuln.example/lib v1.0.0/go.mod") }, "t/go.mod:5: error: [missing-sum] go.sum has no line for the go.mod of vuln.example/lib@v1.0.0; go mod tidy"},
		"empty go.sum":  {func(*world) string { return mod + "-- go.sum --\n" }, "t/go.mod:5: error: [missing-sum]"},
		"other version": {func(w *world) string { return strings.Replace(lines(w, "none"), "lib v1.0.0\n", "lib v1.1.0\n", 1) }, "the go.mod of vuln.example/lib@v1.1.0"},
		"in go.work.sum": {func(w *world) string {
			return "-- go.work --\ngo 1.26\nuse ./a\n-- go.work.sum --\n" + w.sums + strings.Replace(mod, "-- go.mod", "-- a/go.mod", 1) + "-- a/go.sum --\n"
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got := audited(w, tt.archive(w))
			if tt.want == "" {
				require.NotContains(t, got, RuleMissingSum)
				return
			}
			require.Equal(t, 1, strings.Count(got, RuleMissingSum), got)
			require.Contains(t, got, tt.want)
		})
	}
	t.Run("no go.sum", func(t *testing.T) {
		w := newWorld(t)
		dir := w.tree("t", mod)
		require.NoError(t, os.Remove(filepath.Join(dir, "go.sum")))
		var b strings.Builder
		require.NoError(t, w.run().WriteText(&b))
		require.Contains(t, b.String(), "t/go.mod:1: error: [missing-sum] it requires modules, and there is no go.sum; go mod tidy")
	})
}

func TestWorkspaces(t *testing.T) {
	member := func(name, require string) string {
		return "-- " + name + "/go.mod --\nmodule example.com/" + name + "\n\ngo 1.26\n\n" + require + "\n"
	}
	old, new := "require vuln.example/lib v1.0.0", "require vuln.example/lib v1.2.0"
	for name, tt := range map[string]struct {
		archive string
		want    []string
		notWant string
	}{
		"two modules differ":     {member("a", old) + member("b", new), []string{"t/a/go.mod:5: warning: [version-skew] vuln.example/lib@v1.0.0 is used here, and vuln.example/lib@v1.2.0 at t/b/go.mod:5; go get vuln.example/lib@v1.2.0"}, "t/b/go.mod:5: warning"},
		"indirectly":             {member("a", old+" // indirect") + member("b", new), []string{"t/a/go.mod:5: note: [version-skew]"}, ""},
		"a workspace agrees":     {"-- go.work --\ngo 1.26\nuse (\n./a\n./b\n)\n" + member("a", old) + member("b", new), nil, RuleVersionSkew},
		"another isn't of it":    {"-- go.work --\ngo 1.26\nuse (\n./a\n./b\n)\n" + member("a", old) + member("b", new) + member("c", old), []string{"t/c/go.mod:5: warning: [version-skew]"}, "t/a/go.mod:5: warning"},
		"go.work replaces":       {"-- go.work --\ngo 1.26\nuse ./a\nreplace vuln.example/lib => vuln.example/lib v1.2.0\n" + member("a", old) + member("b", new), nil, RuleVersionSkew},
		"a replace differs":      {member("a", old+"\n\nreplace vuln.example/lib v1.0.0 => fork.example/lib v1.5.0") + member("b", new), []string{"t/b/go.mod:5: warning: [version-skew] vuln.example/lib@v1.2.0 is used here, and fork.example/lib@v1.5.0 at t/a/go.mod:5; replace vuln.example/lib alike in both", "t/a/go.mod:7: note: [replace-fork] fork.example/lib@v1.5.0 takes the place of vuln.example/lib"}, ""},
		"use leaves the tree":    {"-- go.work --\ngo 1.26\nuse (\n./a\n../b\n)\n" + member("a", old), []string{"t/go.work:4: error: [replace-outside] use ../b leaves the tree"}, ""},
		"replace in go.work":     {"-- go.work --\ngo 1.26\nuse ./a\nreplace x.example/x => /abs\n" + member("a", old), []string{"t/go.work:3: error: [replace-outside] x.example/x is replaced by /abs"}, ""},
		"a folder of the tree":   {member("a", old+"\n\nreplace vuln.example/lib => ../b") + member("b", ""), nil, RuleReplaceOutside},
		"out and in again":       {member("a", old+"\n\nreplace vuln.example/lib => ../../t/b") + member("b", ""), []string{"t/a/go.mod:7: error: [replace-outside]"}, ""},
		"used and in testdata":   {"-- go.work --\ngo 1.26\nuse ./testdata/a\n" + member("testdata/a", old), []string{"1 module version"}, ""},
		"a go.mod of old":        {"-- go.mod --\nmodule example.com/a\n\ngo 1.16\n", []string{"t/go.mod:1: note: [unchecked] a go.mod of before Go 1.17"}, ""},
		"a module of its own":    {"-- go.work --\ngo 1.26\nuse (\n./a\n./b\n)\n" + member("a", "require example.com/b v1.0.0") + member("b", ""), []string{"0 module versions"}, RuleMissingSum},
		"more than one, grouped": {member("a", "require (\n\tgone.example/gone v0.1.0\n\tvuln.example/lib v1.0.0\n)") + member("b", new), []string{"t/a/go.mod:7: warning: [version-skew]"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got := audited(w, tt.archive)
			for _, want := range tt.want {
				require.Contains(t, got, want)
			}
			if tt.notWant != "" {
				require.NotContains(t, got, tt.notWant)
			}
		})
	}
}

// rezip makes a zip of files, which need not be one that the go command takes.
func rezip(t *testing.T, files map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		f, err := z.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestFacts(t *testing.T) {
	m := module.Version{Path: "a.example/B", Version: "v1.0.0"}
	const dir, root = "a.example/!b/@v/", "a.example/B@v1.0.0/"
	many := map[string]string{}
	for i := range license.MaxFiles + 1 {
		many[root+"LICENSE."+strings.Repeat("x", i)] = mit
	}
	for name, tt := range map[string]struct {
		files   map[string]string
		zip     map[string]string
		version string
		check   func(t *testing.T, f facts)
	}{
		"nothing": {nil, nil, "", func(t *testing.T, f facts) {
			require.Equal(t, []string{".info", ".mod", ".zip"}, f.missing)
			require.Empty(t, f.damaged)
		}},
		"damaged": {map[string]string{"v1.0.0.info": "{", "v1.0.0.mod": "module (", "v1.0.0.zip": "PK"}, nil, "", func(t *testing.T, f facts) {
			require.Empty(t, f.missing)
			require.Len(t, f.damaged, 3)
		}},
		"mod without a module line": {map[string]string{"v1.0.0.mod": "go 1.26\n"}, nil, "", func(t *testing.T, f facts) {
			require.Equal(t, []string{".mod: a.example/B@v1.0.0 go.mod has no module line"}, f.damaged)
		}},
		"newest release goes before pre-releases": {map[string]string{
			"v1.0.0.mod": "module a.example/B\n", "v1.3.0-rc.1.mod": "// Deprecated: no.\nmodule a.example/B\n", "v1.2.0.mod": "module a.example/B\nretract v1.0.0\n",
			"nonsense.mod": "", "v1.9.0.info": "{}", "!.mod": "",
		}, nil, "", func(t *testing.T, f facts) {
			require.Equal(t, "v1.2.0", f.newest)
			require.True(t, f.retracted)
			require.Empty(t, f.deprecated)
		}},
		"the newest retracts itself": {map[string]string{"v1.0.0.mod": "module a.example/B\nretract [v1.0.0, v1.1.0] // why\n"}, nil, "", func(t *testing.T, f facts) {
			require.True(t, f.retracted)
			require.Equal(t, "why", f.rationale)
		}},
		"time of a pseudo-version": {nil, nil, "v0.0.0-20190203040506-0123456789ab", func(t *testing.T, f facts) {
			require.Equal(t, time.Date(2019, 2, 3, 4, 5, 6, 0, time.UTC), f.time)
		}},
		"licences": {nil, map[string]string{root + "LICENSE": mit, root + "sub/LICENSE": "other", root + "COPYING.txt": mit, root + "licenses.go": "package b\n"}, "", func(t *testing.T, f facts) {
			require.Equal(t, []string{"MIT"}, f.licenses)
			require.Equal(t, licenseKnown, f.license)
		}},
		"one known, one not": {nil, map[string]string{root + "LICENSE-A": mit, root + "LICENSE-B": "Ask me."}, "", func(t *testing.T, f facts) {
			require.Equal(t, []string{"MIT"}, f.licenses)
			require.Equal(t, licenseUnknown, f.license)
		}},
		"no licence": {nil, map[string]string{root + "go.mod": "", "other.example/x@v1.0.0/LICENSE": mit}, "", func(t *testing.T, f facts) {
			require.Equal(t, licenseNoFile, f.license)
		}},
		"a large licence": {nil, map[string]string{root + "LICENSE": strings.Repeat("word ", license.MaxFile)}, "", func(t *testing.T, f facts) {
			require.Equal(t, licenseUnknown, f.license)
		}},
		"too many licences": {nil, many, "", func(t *testing.T, f facts) {
			require.Contains(t, strings.Join(f.damaged, ""), "more than 16 licence files")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for name, text := range tt.files {
				fsys[dir+name] = &fstest.MapFile{Data: []byte(text)}
			}
			if tt.zip != nil {
				fsys[dir+"v1.0.0.zip"] = &fstest.MapFile{Data: rezip(t, tt.zip)}
			}
			m := m
			if tt.version != "" {
				m.Version = tt.version
			}
			tt.check(t, source{fsys}.facts(m))
		})
	}
}

func TestParseAge(t *testing.T) {
	day := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"2y": day.AddDate(-2, 0, 0), "90d": day.AddDate(0, 0, -90), "0": day} {
		age, err := ParseAge(text)
		require.NoError(t, err)
		require.Equal(t, text, age.String())
		require.Equal(t, want, age.Before(day))
		require.Equal(t, text == "0", age.IsZero())
	}
	for _, text := range []string{"", "y", "2", "2m", "-1d", "1.5y", "99999999y"} {
		_, err := ParseAge(text)
		require.ErrorContains(t, err, "as 2y or 90d", text)
	}
}

// A go.mod that says nothing keeps its folder out of the module above, and is no module.
func TestBlankGoMod(t *testing.T) {
	w := newWorld(t)
	w.tree("t", "-- go.mod --\nmodule example.com/a\n\ngo 1.26\n-- web/go.mod --\n\n")
	_, err := Run(t.Context(), w.options)
	require.NoError(t, err)
}
