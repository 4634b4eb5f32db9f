package inbuild

import (
	"archive/zip"
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/dirhash"

	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/testkit"
)

func TestUnpack(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	file := writeSums(t, sums)
	out := filepath.Join(t.TempDir(), "out")
	require.Equal(t, "checked and unpacked 3 modules\n", mustStep(t, "modules", "--sums", file, "--from", dir, "--out", out))
	require.Equal(t, []string{
		"cache/download/example.com/!upper/!case/@v/v0.0.0-20200102030405-0123456789ab.info",
		"cache/download/example.com/!upper/!case/@v/v0.0.0-20200102030405-0123456789ab.mod",
		"cache/download/example.com/!upper/!case/@v/v0.0.0-20200102030405-0123456789ab.ziphash",
		"cache/download/example.com/hello/@v/v1.2.3.info",
		"cache/download/example.com/hello/@v/v1.2.3.mod",
		"cache/download/example.com/hello/@v/v1.2.3.ziphash",
		"cache/download/example.com/old/@v/v2.0.0+incompatible.info",
		"cache/download/example.com/old/@v/v2.0.0+incompatible.mod",
		"cache/download/example.com/old/@v/v2.0.0+incompatible.ziphash",
		"cache/download/example.com/pruned/@v/v0.3.0.info",
		"example.com/!upper/!case@v0.0.0-20200102030405-0123456789ab/case.go",
		"example.com/!upper/!case@v0.0.0-20200102030405-0123456789ab/go.mod",
		"example.com/hello@v1.2.3/LICENSE",
		"example.com/hello@v1.2.3/cmd/x/main.go",
		"example.com/hello@v1.2.3/data/text.txt",
		"example.com/hello@v1.2.3/empty/.gitkeep",
		"example.com/hello@v1.2.3/go.mod",
		"example.com/hello@v1.2.3/hello.go",
		"example.com/hello@v1.2.3/hello_test.go",
		"example.com/old@v2.0.0+incompatible/old.go",
	}, names(t, out))
	info, err := os.ReadFile(filepath.Join(out, cacheDownload, "example.com/!upper/!case/@v/v0.0.0-20200102030405-0123456789ab.info"))
	require.NoError(t, err)
	require.JSONEq(t, `{"Version":"v0.0.0-20200102030405-0123456789ab","Time":"2020-01-02T03:04:05Z"}`, string(info))
	for _, line := range snapshot(t, out) {
		fields := strings.Fields(line)
		want := "-r--r--r--"
		if strings.HasPrefix(fields[1], "d") {
			// Any user may add modules, and change none.
			want = "drwxrwxrwx"
			if strings.Contains(strings.ReplaceAll(fields[0], "/@v", ""), "@v") {
				want = "drwxr-xr-x"
			}
		}
		require.Equal(t, want, fields[1], line)
		require.Equal(t, "0", fields[2], line)
	}
}

// The same set gives the same tree, whatever the umask, the folder's kind, the zips' packing and the order of lines.
func TestUnpackIsReproducible(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	first, second := t.TempDir(), filepath.Join(t.TempDir(), "out")
	mustStep(t, "modules", "--sums", writeSums(t, sums), "--from", dir, "--out", first)

	cache := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(cache, "cache"), 0o755))
	require.NoError(t, os.Rename(dir, filepath.Join(cache, cacheDownload)))
	repack(t, proxyFile(t, filepath.Join(cache, cacheDownload), threeModules[0], ".zip"))
	lines := strings.SplitAfter(sums, "\n")
	defer syscall.Umask(syscall.Umask(0o077))
	mustStep(t, "modules", "--sums", writeSums(t, lines[5]+lines[0]+lines[4]+lines[1]+lines[0]+lines[3]+lines[2]),
		"--from", t.TempDir(), "--from", cache, "--out", second)
	require.Equal(t, snapshot(t, first), snapshot(t, second))
}

// repack writes a zip's files anew, uncompressed and in the other order.
func repack(t *testing.T, file string) {
	old, err := os.ReadFile(file)
	require.NoError(t, err)
	z, err := zip.NewReader(bytes.NewReader(old), int64(len(old)))
	require.NoError(t, err)
	var entries []*zip.FileHeader
	for _, f := range z.File {
		entries = append([]*zip.FileHeader{{Name: f.Name, Method: zip.Store}}, entries...)
	}
	data := makeZip(t, entries, func(name string) string {
		text, err := fs.ReadFile(z, name)
		require.NoError(t, err)
		return string(text)
	})
	require.NotEqual(t, old, data)
	require.NoError(t, os.WriteFile(file, data, 0o644))
}

// What was edited in a module cache's unpacked trees, and in its files that nothing vouches for, has no effect.
func TestUnpackTamperedTree(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	clean, cache, again := t.TempDir(), t.TempDir(), t.TempDir()
	file := writeSums(t, sums)
	mustStep(t, "modules", "--sums", file, "--from", dir, "--out", clean)
	require.NoError(t, os.CopyFS(filepath.Join(cache, cacheDownload), os.DirFS(dir)))
	tamper(t, filepath.Join(cache, "example.com/hello@v1.2.3/hello.go"), "package hello\n\nfunc Hello() string { return `evil` }\n")
	tamper(t, filepath.Join(cache, cacheDownload, "example.com/hello/@v/v1.2.3.info"), `{"Version":"v9.9.9"}`)
	tamper(t, filepath.Join(cache, cacheDownload, "example.com/hello/@v/v1.2.3.ziphash"), "h1:evil")
	mustStep(t, "modules", "--sums", file, "--from", cache, "--out", again)
	require.Equal(t, snapshot(t, clean), snapshot(t, again))
}

func tamper(t *testing.T, file, text string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
}

// A folder need not have all that go.sum lists, but has to have something.
func TestUnpackPartOfASet(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	require.NoError(t, os.Remove(proxyFile(t, dir, threeModules[0], ".zip")))
	out := t.TempDir()
	text := mustStep(t, "modules", "--sums", writeSums(t, sums), "--from", dir, "--out", out)
	require.Contains(t, text, "left out, as the folder lacks it: the zip of example.com/hello@v1.2.3\n")
	require.Contains(t, text, "checked and unpacked 2 modules")
	require.NoDirExists(t, filepath.Join(out, "example.com/hello@v1.2.3"))
	require.FileExists(t, filepath.Join(out, cacheDownload, "example.com/hello/@v/v1.2.3.mod"))

	failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--from", t.TempDir()}, "has none of the 6 files that go.sum lists", "go mod download")
}

func TestUnpackRefuses(t *testing.T) {
	hello := threeModules[0]
	const id = "example.com/hello@v1.2.3"
	for name, tt := range map[string]struct {
		change func(t *testing.T, dir string)
		want   []string
	}{
		"go.mod changed": {
			func(t *testing.T, dir string) {
				require.NoError(t, os.WriteFile(proxyFile(t, dir, hello, ".mod"), []byte("module evil\n"), 0o644))
			},
			[]string{id + ": the go.mod file from ", " has h1:", "go.sum says h1:"},
		},
		"zip changed": {
			func(t *testing.T, dir string) {
				evil := testModule{hello.path, hello.version, map[string]string{"hello.go": "package hello\n"}}
				addModule(t, dir, evil)
			},
			[]string{id + ": the ", " has h1:", "go.sum says h1:"},
		},
		"zip cut short": {
			func(t *testing.T, dir string) { require.NoError(t, os.Truncate(proxyFile(t, dir, hello, ".zip"), 300)) },
			[]string{id + ": refusing its zip"},
		},
		"zip is a folder": {
			func(t *testing.T, dir string) {
				file := proxyFile(t, dir, hello, ".zip")
				require.NoError(t, os.Remove(file))
				require.NoError(t, os.Mkdir(file, 0o755))
			},
			[]string{id, "is not a regular file"},
		},
		"zip is a link out": {
			func(t *testing.T, dir string) {
				file := proxyFile(t, dir, hello, ".zip")
				elsewhere := filepath.Join(t.TempDir(), "x.zip")
				require.NoError(t, os.Rename(file, elsewhere))
				require.NoError(t, os.Symlink(elsewhere, file))
			},
			[]string{id, "escapes"},
		},
		"zip is a pipe": {
			func(t *testing.T, dir string) {
				file := proxyFile(t, dir, hello, ".zip")
				require.NoError(t, os.Remove(file))
				require.NoError(t, syscall.Mkfifo(file, 0o644))
			},
			[]string{id, "is not a regular file"},
		},
		"zip too large": {
			func(t *testing.T, dir string) {
				require.NoError(t, os.Truncate(proxyFile(t, dir, hello, ".zip"), 500<<20+1))
			},
			[]string{id, "more than the 524288000 allowed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, sums := makeProxy(t, threeModules...)
			tt.change(t, dir)
			failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--from", dir}, tt.want...)
		})
	}
}

func TestUnpackBadFlags(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	failStep(t, t.TempDir(), []string{"modules", "--sums", "/no/such/go.sum", "--from", dir}, "reading the module set")
	failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, "nonsense\n"), "--from", dir}, "go.sum:1: malformed")
	failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--from", "/no/such/folder"}, "/no/such/folder")
	failStep(t, t.TempDir(), []string{"modules", "--sums", writeSums(t, sums), "--from", writeSums(t, "")}, "is a file: give a folder")
}

// hostileZips are zips that no module proxy makes, each with go.sum's blessing: the hash is that of the zip.
func hostileZips(t testing.TB) map[string][]byte {
	const top = "example.com/hello@v1.2.3/"
	plain := func(names ...string) []byte {
		var entries []*zip.FileHeader
		for _, n := range names {
			entries = append(entries, &zip.FileHeader{Name: n})
		}
		return makeZip(t, entries, func(name string) string { return strings.Repeat("x", len(name[strings.LastIndexByte(name, '/')+1:])) })
	}
	special := func(mode fs.FileMode) []byte {
		h := &zip.FileHeader{Name: top + "odd"}
		h.SetMode(mode)
		return makeZip(t, []*zip.FileHeader{{Name: top + "a.go"}, h}, func(string) string { return "/etc/passwd" })
	}
	return map[string][]byte{
		"dot dot":         plain(top+"a.go", top+"../../../etc/passwd"),
		"dot dot prefix":  plain(top+"a.go", "../"+top+"a.go"),
		"absolute":        plain("/etc/passwd"),
		"double slash":    plain(top + "/etc/passwd"),
		"backslash":       plain(top + `..\..\x`),
		"drive":           plain(top + `C:\x`),
		"symlink":         special(fs.ModeSymlink | 0o777),
		"device":          special(fs.ModeDevice | 0o666),
		"pipe":            special(fs.ModeNamedPipe | 0o666),
		"case collision":  plain(top+"a.go", top+"A.go"),
		"twice":           plain(top+"a.go", top+"a.go"),
		"file and folder": plain(top+"a", top+"a/b"),
		"wrong prefix":    plain("example.com/other@v1.2.3/a.go"),
		"wrong version":   plain("example.com/hello@v1.2.4/a.go"),
		"no prefix":       plain("a.go"),
		"nested go.mod":   plain(top+"a.go", top+"sub/go.mod"),
		"reserved name":   plain(top + "aux.go"),
		"newline":         plain(top + "a\nlarder: all is well"),
		"nul":             plain(top + "a\x00b"),
		"folder entry":    plain(top+"a.go", top+"dir/"),
		"bomb":            bomb(t, top),
		"lying sizes":     lie(t, top),
		"not a zip":       []byte("<html>"),
		"empty":           nil,
	}
}

// bomb returns a zip whose header owns up to more than a module may have.
func bomb(t testing.TB, top string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"a", "b"} {
		_, err := z.CreateRaw(&zip.FileHeader{Name: top + name, Method: zip.Deflate, UncompressedSize64: 300 << 20})
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// lie returns a zip with an entry that unpacks to more than its header says.
func lie(t testing.TB, top string) []byte {
	data := makeZip(t, []*zip.FileHeader{{Name: top + "a", Method: zip.Deflate}}, func(string) string { return strings.Repeat("\x00", 1<<20) })
	// The central directory's uncompressed size is 24 bytes into its header.
	i := bytes.LastIndex(data, []byte("PK\x01\x02"))
	require.Positive(t, i)
	copy(data[i+24:], []byte{1, 0, 0, 0})
	return data
}

func TestHostileZips(t *testing.T) {
	hello := threeModules[0]
	for name, data := range hostileZips(t) {
		t.Run(name, func(t *testing.T) {
			dir, _ := makeProxy(t, hello)
			file := proxyFile(t, dir, hello, ".zip")
			require.NoError(t, os.WriteFile(file, data, 0o644))
			hash, err := dirhash.HashZip(file, dirhash.Hash1)
			if err != nil {
				hash = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
			}
			parent := t.TempDir()
			stderr := failStep(t, filepath.Join(parent, "out"), []string{"modules", "--sums", writeSums(t, hello.path+" "+hello.version+" "+hash+"\n"), "--from", dir},
				"larder: example.com/hello@v1.2.3: ")
			require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
			require.Empty(t, names(t, parent))
		})
	}
}

// FuzzExtract unpacks what wasn't checked at all: whatever a zip holds, nothing but regular files comes out of it, and
// none outside.
func FuzzExtract(f *testing.F) {
	for _, data := range hostileZips(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		file := filepath.Join(parent, "zip")
		require.NoError(t, os.WriteFile(file, data, 0o644))
		_ = modfetch.VerifyZip(threeModules[0].id(), file, "test", modfetch.Expected{})
		for _, prefix := range []string{"", "example.com/hello@v1.2.3/"} {
			_ = fill(filepath.Join(parent, "out"), func(out *os.Root) error {
				h1, err := extract(context.Background(), out, ".", file, prefix, readOnly)
				if want, herr := dirhash.HashZip(file, dirhash.Hash1); err == nil && herr == nil {
					require.Equal(t, want, h1)
				}
				return err
			})
			for _, line := range snapshot(t, parent) {
				if name, _, _ := strings.Cut(line, " "); name != "." && name != "out" && name != "zip" {
					require.True(t, strings.HasPrefix(name, "out/"), line)
				}
			}
			require.NoError(t, os.RemoveAll(filepath.Join(parent, "out")))
		}
	})
}

// A read-only build finds in the layer all that it needs: the real go command, which may neither write there nor ask
// anybody, builds, lists and vets a program with it.
func TestReadOnlyBuild(t *testing.T) {
	t.Parallel()
	dir, sums := makeProxy(t, threeModules...)
	// A version that only the build list needs: its go.mod file alone is in go.sum.
	stale := testModule{"example.com/old", "v1.0.0", map[string]string{"go.mod": "module example.com/old\n"}}
	staleSums := strings.SplitAfter(addModule(t, dir, stale), "\n")[1]
	require.NoError(t, os.Remove(proxyFile(t, dir, stale, ".zip")))

	work := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(work), 0o755))
	cache := filepath.Join(work, "modcache")
	mustStep(t, "modules", "--sums", writeSums(t, sums+staleSums), "--from", dir, "--out", cache)
	src := filepath.Join(work, "src")
	for name, text := range map[string]string{
		"go.mod":  "module example.com/app\n\ngo 1.21\n\nrequire (\n\texample.com/Upper/Case v0.0.0-20200102030405-0123456789ab // indirect\n\texample.com/hello v1.2.3\n\texample.com/old v2.0.0+incompatible // indirect\n)\n",
		"go.sum":  sums + staleSums,
		"main.go": "package main\n\nimport \"example.com/hello\"\n\nfunc main() { print(hello.Hello()) }\n",
	} {
		require.NoError(t, os.MkdirAll(src, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(src, name), []byte(text), 0o644))
	}
	gocmd := goCommandIn(t, work, src, cache, cache)
	before := snapshot(t, cache)

	out, stderr := gocmd("build", "-o", filepath.Join(work, "tmp", "app"), ".")
	require.Empty(t, out+stderr)
	app := exec.Command(filepath.Join(work, "tmp", "app"))
	said, err := app.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "old-embedded", string(said))

	out, _ = gocmd("version", "-m", filepath.Join(work, "tmp", "app"))
	for line := range strings.Lines(sums) {
		fields := strings.Fields(line)
		if !strings.HasSuffix(fields[1], "/go.mod") {
			require.Contains(t, out, "dep\t"+strings.Join(fields, "\t"))
		}
	}
	for _, args := range [][]string{
		{"list", "-m", "-json", "all"},
		{"list", "-deps", "-json", "./..."},
		{"list", "-m", "-json", "example.com/old@v1.0.0"},
		{"mod", "graph"},
		{"vet", "./..."},
		{"test", "./...", "example.com/hello/..."},
	} {
		out, stderr := gocmd(args...)
		require.NotContains(t, out, `"Error"`, args)
		require.NotContains(t, stderr, "go: ", args)
	}
	out, _ = gocmd("list", "-m", "all")
	require.Contains(t, out, "example.com/pruned v0.3.0\n")
	require.Equal(t, before, snapshot(t, cache))
}

// goCommandIn returns a function that runs the go command in src with a module cache that it may not write to: as a
// user who doesn't own it, or as its owner after taking the right away from the folders of the cache that are there.
func goCommandIn(t *testing.T, work, src, cache string, folders ...string) func(args ...string) (stdout, stderr string) {
	t.Helper()
	tmp := filepath.Join(work, "tmp")
	require.NoError(t, os.Mkdir(tmp, 0o777))
	require.NoError(t, os.Chmod(tmp, 0o777))
	testkit.NoTelemetry(t, tmp)
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: nonroot, Gid: nonroot, NoSetGroups: true}
	} else {
		for _, dir := range folders {
			readOnlyFolders(t, dir)
		}
	}
	gobin, err := exec.LookPath("go")
	require.NoError(t, err)
	return func(args ...string) (string, string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(gobin, args...)
		cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = src, attr, &stdout, &stderr
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + tmp, "TMPDIR=" + tmp, "GOCACHE=" + filepath.Join(tmp, "gocache"),
			"GOMODCACHE=" + cache, "GOFLAGS=-mod=readonly", "GOPROXY=off", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOENV=off",
			"GOVCS=*:off", "GOTELEMETRY=off", "GOWORK=off", "CGO_ENABLED=0",
		}
		require.NoError(t, cmd.Run(), stderr.String())
		return stdout.String(), stderr.String()
	}
}

func readOnlyFolders(t *testing.T, dir string) {
	set := func(mode fs.FileMode) {
		require.NoError(t, filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(file, mode)
			}
			return err
		}))
	}
	set(0o555)
	t.Cleanup(func() { set(0o755) })
}
