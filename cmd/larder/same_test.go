//go:build slow

package main

import (
	"debug/buildinfo"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// goFile is the world's image by GO lines.
const goFile = `# syntax=ghcr.io/larder-build/larder:1
FROM go AS build
GO build -trimpath -o /out/app .
FROM static
COPY --from=build /out/app /usr/local/bin/app
ENTRYPOINT ["app"]
`

// The same inputs give the same image and the same bill of materials, whatever else differs: the state of the builder and
// how much is cached there, the folder of the context, times and modes of its files and the order they were made in, time
// zone, locale, umask, host name, and where modules come from. larder verify finds nothing wrong with any of them.
func TestSlowSameInputsSameImage(t *testing.T) {
	here := newWorld(t)
	there := *here
	there.state = t.TempDir()
	there.context = filepath.Join(t.TempDir(), "another", "folder")
	there.env = []string{"GOPROXY=" + testkit.ServeProxy(t, here.proxy).URL, "TZ=Pacific/Kiritimati", "LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8"}
	for _, file := range []string{"", goFile} {
		if file != "" {
			here.write("Dockerfile", file)
		}
		there.copyContext(here.context)
		args := []string{"--sbom=true", "--build-arg", "SOURCE_DATE_EPOCH=1700000000"}
		one, two := filepath.Join(t.TempDir(), "one.tar"), filepath.Join(t.TempDir(), "two.tar")
		out, err := here.build(append(args, "-o", "type=oci,rewrite-timestamp=true,dest="+one)...)
		require.NoError(t, err, "%s", out)
		there.buildElsewhere(append(args, "-o", "type=oci,rewrite-timestamp=true,dest="+two)...)
		a, b := here.openImage(one), here.openImage(two)
		require.Equal(t, a.Digest, b.Digest)
		require.Equal(t, here.bill(a), here.bill(b))
		here.checkVerify(one)
		here.checkBill(a)
	}
}

// copyContext makes a copy of a context that differs in all that doesn't count. Files are made in another order.
func (w *world) copyContext(from string) {
	require.NoError(w.t, os.RemoveAll(w.context))
	require.NoError(w.t, os.MkdirAll(w.context, 0o700))
	entries, err := os.ReadDir(from)
	require.NoError(w.t, err)
	for i := len(entries) - 1; i >= 0; i-- {
		data, err := os.ReadFile(filepath.Join(from, entries[i].Name()))
		require.NoError(w.t, err)
		name := filepath.Join(w.context, entries[i].Name())
		require.NoError(w.t, os.WriteFile(name, data, 0o600))
		at := time.Date(2001, 2, 3, 4, 5, i, 0, time.UTC)
		require.NoError(w.t, os.Chtimes(name, at, at))
	}
}

// buildElsewhere builds on a host of another name, with another umask.
func (w *world) buildElsewhere(args ...string) {
	larder := w.command(append(append([]string{"build", "--builder", "embedded", "--state", w.state}, args...), w.context)...)
	cmd := exec.CommandContext(w.t.Context(), "unshare", append([]string{"--uts", "sh", "-euc", `hostname elsewhere.example; umask 0077; exec "$@"`, "sh"}, larder.Args...)...)
	cmd.Env = larder.Env
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "%s", out)
}

func (w *world) openImage(file string) *oci.Image {
	l, err := oci.Open(file)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, l.Close()) })
	images, err := l.Images(w.t.Context())
	require.NoError(w.t, err)
	require.Len(w.t, images, 1)
	return images[0]
}

func (w *world) bill(image *oci.Image) string {
	bills, err := image.Statements(w.t.Context(), "https://spdx.dev/Document")
	require.NoError(w.t, err)
	require.Len(w.t, bills, 1)
	return string(bills[0].Predicate)
}

// checkBill compares the modules of a bill with those that "go version -m" shows of the binary: every one, none invented.
func (w *world) checkBill(image *oci.Image) {
	dir := w.t.TempDir()
	require.NoError(w.t, image.Unpack(w.t.Context(), dir))
	info, err := buildinfo.ReadFile(filepath.Join(dir, "usr/local/bin/app"))
	require.NoError(w.t, err)
	want := []string{"example.com/app", "stdlib " + strings.TrimPrefix(info.GoVersion, "go"), "golang.org/toolchain v0.0.1-" + info.GoVersion + ".linux-amd64"}
	for _, dep := range info.Deps {
		want = append(want, dep.Path+" "+dep.Version)
	}
	var doc struct {
		Packages []struct{ Name, VersionInfo string }
	}
	testkit.RequireSPDX(w.t, w.bill(image))
	require.NoError(w.t, json.Unmarshal([]byte(w.bill(image)), &doc))
	var got []string
	for _, p := range doc.Packages[1:] { // the first one is the image
		got = append(got, strings.TrimSpace(p.Name+" "+p.VersionInfo))
	}
	require.ElementsMatch(w.t, want, got)
	require.Len(w.t, info.Deps, 2)
}

// checkVerify verifies and signs an image, and what is wrong with it when go.sum or the image is another.
func (w *world) checkVerify(file string) {
	dir := w.t.TempDir()
	run := func(args ...string) (string, error) {
		cmd := w.command(args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	good := func(args ...string) string {
		out, err := run(args...)
		require.NoError(w.t, err, "%s", out)
		return out
	}
	bad := func(want string, args ...string) {
		out, err := run(args...)
		require.Error(w.t, err)
		require.Contains(w.t, out, want)
	}
	sums := filepath.Join(w.context, "go.sum")
	good("bundle", "keygen", "-o", "release.key", "release.example.com")
	good("bundle", "keygen", "-o", "other.key", "other.example.com")
	good("sign", "--key", "release.key", "-o", "image.sig", file)
	out := good("verify", "--go-sum", sums, "--key", "release.key.pub", "--signature", "image.sig", file)
	require.Contains(w.t, out, "1 Go binaries with 2 modules, 0 packages\n")
	require.Contains(w.t, out, "signed by release.example.com+")
	var report struct{ Platforms []struct{ Problems []string } }
	require.NoError(w.t, json.Unmarshal([]byte(good("verify", "--progress", "quiet", "--json", file)), &report))
	require.Empty(w.t, report.Platforms[0].Problems)

	bad("by none of the keys given", "verify", "--key", "other.key.pub", "--signature", "image.sig", file)
	bad("--key needs --signature", "verify", "--key", "other.key.pub", file)
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "go.sum"), nil, 0o644))
	bad("/usr/local/bin/app has a.example/greet@v1.2.0 linked in, which go.sum doesn't list", "verify", "--go-sum", "go.sum", file)
	w.checkDamage(file, bad)
}

// checkDamage changes each of an image's blobs, one byte of one at a time.
func (w *world) checkDamage(file string, bad func(want string, args ...string)) {
	dir := w.t.TempDir()
	testkit.Run(w.t, "tar", "-C", dir, "-xf", file)
	blobs := filepath.Join(dir, "blobs", "sha256")
	require.NoError(w.t, filepath.WalkDir(blobs, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		require.NoError(w.t, err)
		damaged := append([]byte{}, data...)
		damaged[len(data)/2] ^= 1
		require.NoError(w.t, os.WriteFile(name, damaged, 0o644))
		bad("sha256:", "verify", dir)
		return os.WriteFile(name, data, 0o644)
	}))
}

// A machine with nothing but loopback and a GOPROXY folder builds the image, and it is the image that another state
// folder on another network gives.
func TestSlowOfflineAndReproducible(t *testing.T) {
	w := newWorld(t)
	w.ns = testkit.Offline(t)
	w.state = t.TempDir()
	offline := w.image()

	online := *w
	online.ns, online.state = nil, sharedState(t)
	online.env = []string{"GOPROXY=" + testkit.ServeProxy(t, w.proxy).URL}
	require.Equal(t, digestOf(t, offline), digestOf(t, online.image()))

	// The same image again for another time, in another folder, with other times on its files.
	moved := online
	moved.context = t.TempDir()
	require.NoError(t, os.CopyFS(moved.context, os.DirFS(w.context)))
	require.Equal(t, digestOf(t, offline), digestOf(t, moved.image()))
	require.NotEqual(t, digestOf(t, offline), digestOf(t, moved.image("--build-arg", "SOURCE_DATE_EPOCH=1700000000")))

	out := runBinary(t, w.local())
	require.Equal(t, "hello, larder\n", out)
}
