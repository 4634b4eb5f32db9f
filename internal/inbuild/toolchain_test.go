package inbuild

import (
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
)

// fakeToolchain has the files that a toolchain's zip is known by.
var fakeToolchain = testModule{gomod.ToolchainPath, "v0.0.1-go1.99.1.linux-amd64", map[string]string{
	"VERSION":                       "go1.99.1\n",
	"bin/go":                        "go",
	"bin/gofmt":                     "gofmt",
	"lib/wasm/go_js_wasm_exec":      "exec",
	"lib/wasm/wasm_exec.js":         "js",
	"pkg/tool/linux_amd64/compile":  "compile",
	"pkg/include/textflag.h":        "h",
	"src/_go.mod":                   "module std\n",
	"src/cmd/_go.mod":               "module cmd\n",
	"src/cmd/go/go_x_y_exec":        "source",
	"src/fmt/print.go":              "package fmt\n",
	"src/bin/pkg/tool/not_run.go":   "package x\n",
	"src/crypto/md5/_asm/_go.mod":   "module md5\n",
	"src/crypto/md5/_asm/md5_asm.h": "h",
	"src/fmt/print_test.go":         "package fmt\n",
	"src/fmt/testdata/x.go":         "package x\n",
	"src/testing/testdata.go":       "package testing\n",
	"test/fixedbugs/x.go":           "package x\n",
}}

// testDatabase is a checksum database that vouches for the given go.sum text.
func testDatabase(t *testing.T, sums string) (key string, h http.Handler) {
	t.Helper()
	signer, verifier, err := note.GenerateKey(nil, "sum.example")
	require.NoError(t, err)
	return verifier, sumdb.NewServer(sumdb.NewTestServer(signer, func(path, vers string) ([]byte, error) {
		var lines string
		for line := range strings.Lines(sums) {
			if strings.HasPrefix(line, path+" "+vers+" ") || strings.HasPrefix(line, path+" "+vers+"/go.mod ") {
				lines += line
			}
		}
		if lines == "" {
			return nil, fs.ErrNotExist
		}
		return []byte(lines), nil
	}))
}

func h1Of(sums string) string { return strings.Fields(sums)[2] }

func TestFetchToolchain(t *testing.T) {
	dir, sums := makeProxy(t, fakeToolchain)
	key, db := testDatabase(t, sums)
	direct := httptest.NewServer(db)
	t.Cleanup(direct.Close)
	// A proxy that passes the database on, as proxy.golang.org does.
	proxy := testkit.ServeProxy(t, dir)
	proxy.Fail("/sumdb/sum.example/supported", testkit.Status(http.StatusOK))
	proxy.Fail("/sumdb/sum.example/", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.StripPrefix("/sumdb/sum.example", db).ServeHTTP(w, r)
	})
	empty := testkit.ServeProxy(t, t.TempDir())
	for name, args := range map[string][]string{
		"database by URL":         {"--goproxy", "file://" + dir, "--gosumdb", key + " " + direct.URL},
		"through the proxy":       {"--goproxy", proxy.URL, "--gosumdb", key},
		"through a later proxy":   {"--goproxy", empty.URL + "," + proxy.URL + ",direct", "--gosumdb", key},
		"after a proxy that errs": {"--goproxy", "http://127.0.0.1:1|" + proxy.URL, "--gosumdb", key},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := t.TempDir()
			mustStep(t, append([]string{"fetch-toolchain", "--version", "go1.99.1", "--platform", "linux/amd64", "--out", out}, args...)...)
			h1, err := os.ReadFile(filepath.Join(out, "h1"))
			require.NoError(t, err)
			require.Equal(t, h1Of(sums), string(h1))

			goroot := filepath.Join(t.TempDir(), "usr/local/go")
			mustStep(t, "unpack-toolchain", "--zip", filepath.Join(out, "toolchain.zip"), "--h1-file", filepath.Join(out, "h1"), "--out", goroot)
			require.FileExists(t, filepath.Join(goroot, "bin/go"))
		})
	}
}

func TestFetchToolchainErrors(t *testing.T) {
	dir, sums := makeProxy(t, fakeToolchain)
	evil, _ := makeProxy(t, testModule{fakeToolchain.path, fakeToolchain.version, map[string]string{"bin/go": "evil"}})
	key, db := testDatabase(t, sums)
	good := httptest.NewServer(db)
	defer good.Close()
	otherKey, _ := testDatabase(t, sums)
	hidden := testkit.ServeProxy(t, dir)
	hidden.Fail("/sumdb/", testkit.Status(http.StatusForbidden))
	const remedy = "pass the toolchain with --build-context larder-toolchain=FOLDER"
	for name, tt := range map[string]struct {
		version, platform, goproxy, gosumdb string
		want                                []string
	}{
		"off":            {"", "", "file://" + dir, "off", []string{"go1.99.1 for linux/amd64: GOSUMDB=off", remedy}},
		"unknown":        {"go1.99.2", "", "file://" + dir, key + " " + good.URL, []string{"go1.99.2 for linux/amd64", "knows no such toolchain", remedy}},
		"other platform": {"", "linux/mips", "file://" + dir, key + " " + good.URL, []string{"go1.99.1 for linux/mips", "knows no such toolchain"}},
		"wrong key":      {"", "", "file://" + dir, otherKey + " " + good.URL, []string{"go1.99.1 for linux/amd64 has no pin", "sum.example", remedy}},
		"not a release":  {"go1.x", "", "file://" + dir, key, []string{`"go1.x" is not a Go release`}},
		"path release":   {"../../x", "", "file://" + dir, key, []string{"is not a Go release"}},
		"not a platform": {"", "linux", "file://" + dir, key, []string{`platform "linux"`}},
		"bad name":       {"", "", "file://" + dir, "sum.nowhere.example", []string{"GOSUMDB=sum.nowhere.example", "use sum.golang.org"}},
		"three fields":   {"", "", "file://" + dir, "a b c", []string{"GOSUMDB=a b c is not a name or key"}},
		"bad URL":        {"", "", "file://" + dir, key + " nonsense", []string{"the URL in GOSUMDB is not a URL"}},
		"proxy forbids":  {"", "", hidden.URL, key, []string{hidden.URL, "passes on the checksum database sum.example", "403"}},
		"other bytes":    {"", "", "file://" + evil, key + " " + good.URL, []string{"the zip from file://" + evil, "the checksum database sum.example says " + h1Of(sums)}},
		"no zip":         {"", "", "file://" + t.TempDir(), key + " " + good.URL, []string{"go1.99.1 for linux/amd64: ", "no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"fetch-toolchain", "--goproxy", tt.goproxy, "--gosumdb", tt.gosumdb, "--version", tt.version, "--platform", tt.platform}
			if tt.version == "" {
				args[6] = "go1.99.1"
			}
			if tt.platform == "" {
				args[8] = "linux/amd64"
			}
			failStep(t, t.TempDir(), args, tt.want...)
		})
	}
}

func TestUnpackToolchain(t *testing.T) {
	dir, sums := makeProxy(t, fakeToolchain)
	zip := proxyFile(t, dir, fakeToolchain, ".zip")
	first, second := filepath.Join(t.TempDir(), "usr/local/go"), filepath.Join(t.TempDir(), "usr/local/go")
	mustStep(t, "unpack-toolchain", "--zip", zip, "--h1", h1Of(sums), "--out", first)
	repack(t, zip)
	mustStep(t, "unpack-toolchain", "--zip", zip, "--h1", h1Of(sums), "--out", second)
	up := func(dir string) []string { return snapshot(t, filepath.Join(dir, "../../..")) }
	// The folder above is the test's own; those made on the way count.
	require.Equal(t, up(first)[1:], up(second)[1:])

	var exec []string
	for _, line := range snapshot(t, first) {
		fields := strings.Fields(line)
		require.Equal(t, "0", fields[2], line)
		if fields[1] == "-rwxr-xr-x" {
			exec = append(exec, fields[0])
		}
	}
	require.Equal(t, []string{"bin/go", "bin/gofmt", "lib/wasm/go_js_wasm_exec", "pkg/tool/linux_amd64/compile"}, exec)
	require.FileExists(t, filepath.Join(first, "src/crypto/md5/_asm/go.mod"))
	require.NotContains(t, strings.Join(names(t, first), " "), "_go.mod")
	require.FileExists(t, filepath.Join(first, "src/testing/testdata.go"))
	for _, name := range []string{"src/fmt/print_test.go", "src/fmt/testdata", "test"} {
		require.NoFileExists(t, filepath.Join(first, name))
		require.NoDirExists(t, filepath.Join(first, name))
	}
}

// What is not written is hashed all the same: a zip with other tests is another toolchain.
func TestUnpackToolchainWithOtherTests(t *testing.T) {
	_, sums := makeProxy(t, fakeToolchain)
	other := fakeToolchain
	other.files = maps.Clone(other.files)
	other.files["src/fmt/print_test.go"] = "package other\n"
	dir, _ := makeProxy(t, other)
	failStep(t, t.TempDir(), []string{"unpack-toolchain", "--zip", proxyFile(t, dir, other, ".zip"), "--h1", h1Of(sums)}, "its pin says "+h1Of(sums))
}

// A root file system has the toolchain, and what the go command needs beside it, with fixed modes and times.
func TestUnpackToolchainRoot(t *testing.T) {
	dir, sums := makeProxy(t, fakeToolchain)
	root := t.TempDir()
	mustStep(t, "unpack-toolchain", "--zip", proxyFile(t, dir, fakeToolchain, ".zip"), "--h1", h1Of(sums), "--out", root, "--root", "usr/local/go")
	var beside []string
	for _, line := range snapshot(t, root) {
		fields := strings.Fields(line)
		require.Equal(t, "0", fields[2], line)
		if !strings.HasPrefix(fields[0], "usr/local/go/") {
			beside = append(beside, fields[1]+" "+fields[0])
		}
	}
	const folder = "drwxr-xr-x "
	require.Equal(t, []string{folder + ".", folder + "etc", "-rw-r--r-- etc/passwd", folder + "go", folder + "go/pkg", folder + "go/pkg/mod", folder + "root", folder + "root/.cache",
		folder + "root/.config", folder + "root/.config/go", folder + "root/.config/go/telemetry", "-rw-r--r-- root/.config/go/telemetry/mode",
		"dtrwxrwxrwx tmp", folder + "usr", folder + "usr/local", folder + "usr/local/go"}, beside)
	mode, err := os.ReadFile(filepath.Join(root, "root/.config/go/telemetry/mode"))
	require.NoError(t, err)
	require.Equal(t, "off\n", string(mode))
}

func TestUnpackToolchainErrors(t *testing.T) {
	dir, sums := makeProxy(t, fakeToolchain, threeModules[0])
	zip := proxyFile(t, dir, fakeToolchain, ".zip")
	const wrong = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	failStep(t, t.TempDir(), []string{"unpack-toolchain", "--zip", zip, "--h1", wrong},
		"golang.org/toolchain@v0.0.1-go1.99.1.linux-amd64", " has "+h1Of(sums)+", its pin says "+wrong, "not the toolchain that Go's makers published")
	failStep(t, t.TempDir(), []string{"unpack-toolchain", "--zip", proxyFile(t, dir, threeModules[0], ".zip"), "--h1", wrong}, "is not one of the module golang.org/toolchain")
	failStep(t, t.TempDir(), []string{"unpack-toolchain", "--zip", writeSums(t, "no zip"), "--h1", wrong}, "reading the toolchain's zip")
	failStep(t, t.TempDir(), []string{"unpack-toolchain", "--zip", zip, "--h1-file", "/no/such/file"}, "reading the toolchain's hash")
	hollow := testModule{fakeToolchain.path, fakeToolchain.version, map[string]string{"VERSION": "go1.99.1\n"}}
	dir, sums = makeProxy(t, hollow)
	failStep(t, t.TempDir(), []string{"unpack-toolchain", "--zip", proxyFile(t, dir, hollow, ".zip"), "--h1", h1Of(sums)}, "it has no bin/go")
}

// The real toolchain, alone in a root file system without anything else, builds a program that runs.
func TestRealToolchain(t *testing.T) {
	t.Parallel()
	release := gotoolchain.Toolchain{Version: "go1.26.10"}
	pin, ok := release.Pin("linux/" + runtime.GOARCH)
	require.True(t, ok)
	proxy := t.TempDir()
	testkit.Toolchain(t, proxy, release.Version)
	zip := filepath.Join(proxy, gomod.ToolchainPath, "@v", release.ModuleVersion("linux", runtime.GOARCH)+".zip")

	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755))
	goroot := filepath.Join(root, "usr/local/go")
	mustStep(t, "unpack-toolchain", "--zip", zip, "--h1", pin.H1, "--out", goroot)
	for name, text := range map[string]string{
		"src/go.mod":  "module hello\n\ngo 1.26\n",
		"src/main.go": "package main\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n)\n\nfunc main() { fmt.Println(\"hello\", http.StatusOK) }\n",
		"dev/null":    "",
		"tmp/x":       "",
	} {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
	}
	alone := func(args ...string) string {
		t.Helper()
		in := func(name string) string { return filepath.Join(root, name) }
		attr := &syscall.SysProcAttr{}
		if os.Getuid() == 0 {
			attr.Chroot = root
			in = func(name string) string { return name }
		}
		cmd := &exec.Cmd{Path: in("/usr/local/go/bin/go"), Args: append([]string{"go"}, args...), Dir: in("/src"), SysProcAttr: attr,
			// Without /proc, which a builder's container has, the go command must be told where it is.
			Env: []string{"GOROOT=" + in("/usr/local/go"), "HOME=" + in("/tmp"), "GOCACHE=" + in("/tmp/cache"), "TMPDIR=" + in("/tmp"), "GOPATH=" + in("/go"), "GOTOOLCHAIN=local", "GOPROXY=off", "GOSUMDB=off",
				"GOENV=off", "GOFLAGS=-mod=readonly", "GOTELEMETRY=off", "GOWORK=off", "CGO_ENABLED=0"}}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, stderr.String())
		return strings.TrimSpace(string(out))
	}
	require.Equal(t, "go version go1.26.10 linux/"+runtime.GOARCH, alone("version"))
	require.Empty(t, alone("build", "-o", "hello", "."))
	require.Empty(t, alone("vet", "."))
	require.Contains(t, alone("tool"), "compile")
	said, err := exec.Command(filepath.Join(root, "src/hello")).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "hello 200\n", string(said))

	t.Run("zoneinfo", func(t *testing.T) {
		testkit.NeedRoot(t) // to give a folder away
		base := filepath.Join(t.TempDir(), "base")
		mustStep(t, "static", "--zoneinfo", filepath.Join(goroot, "lib/time/zoneinfo.zip"), "--out", base)
		require.FileExists(t, filepath.Join(base, "usr/share/zoneinfo/Europe/Zurich"))
	})
}
