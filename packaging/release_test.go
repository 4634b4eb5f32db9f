//go:build release

package packaging

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A release is what scripts/release.sh has written into the folder that DIST names.
type release struct {
	t       *testing.T
	dist    string
	version string // without the v
	arches  []string
}

func newRelease(t *testing.T) *release {
	testkit.NeedRoot(t)
	r := &release{t: t, dist: os.Getenv("DIST")}
	archives, err := filepath.Glob(filepath.Join(r.dist, "larder_*.tar.gz"))
	require.NoError(t, err)
	require.NotEmpty(t, archives, "DIST names no release: make test-release")
	for _, archive := range archives {
		m := regexp.MustCompile(`larder_(.+)_linux_(\w+)\.tar\.gz$`).FindStringSubmatch(archive)
		require.NotNil(t, m, archive)
		r.version, r.arches = m[1], append(r.arches, m[2])
	}
	require.Contains(t, r.arches, runtime.GOARCH)
	return r
}

func (r *release) path(format string, args ...any) string {
	return filepath.Join(r.dist, fmt.Sprintf(format, args...))
}

// unpack returns the folder of an archive's files, after a look at what tar would make of it.
func (r *release) unpack(arch string) string {
	name := fmt.Sprintf("larder_%s_linux_%s", r.version, arch)
	want := map[string]int64{"CHANGELOG.md": 0o644, "LICENSE": 0o644, "README.md": 0o644, "larder": 0o755, "larder-frontend": 0o755}
	dir := r.t.TempDir()
	require.NoError(r.t, os.Mkdir(filepath.Join(dir, name), 0o755))
	for file, data := range r.members(r.path("%s.tar.gz", name)) {
		base := strings.TrimPrefix(file.Name, name+"/")
		require.Contains(r.t, want, base)
		require.Equal(r.t, want[base], file.Mode, base)
		require.Zero(r.t, file.Uid+file.Gid, base)
		delete(want, base)
		require.NoError(r.t, os.WriteFile(filepath.Join(dir, name, base), data, os.FileMode(file.Mode)))
	}
	require.Empty(r.t, want, "these aren't in the archive")
	return filepath.Join(dir, name)
}

// members reads a tar of one or more gzip streams.
func (r *release) members(name string) map[*tar.Header][]byte {
	f, err := os.Open(name)
	require.NoError(r.t, err)
	defer f.Close()
	zr, err := gzip.NewReader(f)
	require.NoError(r.t, err)
	members := map[*tar.Header][]byte{}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return members
		}
		require.NoError(r.t, err, name)
		members[h], err = io.ReadAll(tr)
		require.NoError(r.t, err, name)
	}
}

// TestReleaseFiles wants each file that a release has to be there, and SHA256SUMS to list them.
func TestReleaseFiles(t *testing.T) {
	r := newRelease(t)
	var want []string
	for _, arch := range r.arches {
		for _, kind := range []string{"tar.gz", "spdx.json", "deb", "rpm", "apk"} {
			want = append(want, fmt.Sprintf("larder_%s_linux_%s.%s", r.version, arch, kind))
		}
	}
	for _, image := range []string{"frontend", "ci", "ci-buildx"} {
		want = append(want, fmt.Sprintf("larder-%s_%s_oci.tar", image, r.version))
	}
	sums, err := os.ReadFile(r.path("SHA256SUMS"))
	require.NoError(t, err)
	listed := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		listed[name] = sum
	}
	require.ElementsMatch(t, want, slices.Collect(maps.Keys(listed)))
	entries, err := os.ReadDir(r.dist)
	require.NoError(t, err)
	require.Len(t, entries, len(want)+1)
	for name, sum := range listed {
		data, err := os.ReadFile(r.path("%s", name))
		require.NoError(t, err)
		require.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256(data)), name)
	}
}

// TestReleaseArchives wants the programs to be of the version and the commit, linked statically, and each SBOM to list what
// is linked into those of its archive.
func TestReleaseArchives(t *testing.T) {
	r := newRelease(t)
	commit := strings.TrimSpace(testkit.Run(t, "git", "-c", "safe.directory=*", "-C", testkit.Root(t), "rev-parse", "HEAD"))
	for _, arch := range r.arches {
		dir := r.unpack(arch)
		bill, err := os.ReadFile(r.path("larder_%s_linux_%s.spdx.json", r.version, arch))
		require.NoError(t, err)
		listed, err := sbom.Read(bill)
		require.NoError(t, err)
		require.Len(t, listed, 2)
		for _, name := range []string{"larder", "larder-frontend"} {
			file := filepath.Join(dir, name)
			info, err := buildinfo.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, "v"+r.version, info.Main.Version)
			settings := map[string]string{}
			for _, s := range info.Settings {
				settings[s.Key] = s.Value
			}
			require.Equal(t, commit, settings["vcs.revision"])
			require.Equal(t, "false", settings["vcs.modified"])
			require.Equal(t, "0", settings["CGO_ENABLED"])
			require.Equal(t, arch, settings["GOARCH"])
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(data)), listed["/"+name].SHA256)
			require.NotEmpty(t, listed["/"+name].Linked)
		}
	}
	require.Contains(t, testkit.Run(t, filepath.Join(r.unpack(runtime.GOARCH), "larder"), "version"), "larder v"+r.version+" "+commit)
}

// TestReleaseAPK reads Alpine's packages, which nothing here can install.
func TestReleaseAPK(t *testing.T) {
	r := newRelease(t)
	for _, arch := range r.arches {
		programs, info := map[string][]byte{}, ""
		for file, data := range r.members(r.path("larder_%s_linux_%s.apk", r.version, arch)) {
			switch {
			case file.Name == ".PKGINFO":
				info = string(data)
			case strings.HasPrefix(file.Name, "usr/bin/") && file.Typeflag == tar.TypeReg:
				require.Equal(t, int64(0o755), file.Mode)
				programs[filepath.Base(file.Name)] = data
			}
		}
		for _, line := range []string{"pkgname = larder", "arch = " + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch], "pkgver = " + strings.Replace(r.version, "-", "_", 1), "depend = runc", "depend = ca-certificates-bundle", "license = Apache-2.0"} {
			require.Contains(t, info, line+"\n")
		}
		dir := r.unpack(arch)
		require.Len(t, programs, 2)
		for name, data := range programs {
			archived, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.True(t, bytes.Equal(archived, data), "%s isn't the archive's", name)
		}
	}
}

// image opens an image of the release for a platform.
func (r *release) image(name, arch string) *oci.Image {
	layout, err := oci.Open(r.path("larder-%s_%s_oci.tar", name, r.version))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { layout.Close() })
	image, err := layout.Image(r.t.Context(), "linux/"+arch)
	require.NoError(r.t, err)
	return image
}

// TestReleaseImages wants the images to have the archives' programs and an SBOM, and runs those for CI jobs.
func TestReleaseImages(t *testing.T) {
	r := newRelease(t)
	for _, arch := range r.arches {
		dir := r.unpack(arch)
		for image, programs := range map[string][]string{"frontend": {"/larder-frontend"}, "ci": {"/usr/local/bin/larder", "/usr/local/bin/larder-frontend"}, "ci-buildx": {"/usr/local/bin/larder", "/usr/local/bin/larder-frontend", "/usr/local/bin/buildx"}} {
			bills, err := r.image(image, arch).Statements(t.Context(), "https://spdx.dev/Document")
			require.NoError(t, err)
			require.Len(t, bills, 1, image)
			listed, err := sbom.Read(bills[0].Predicate)
			require.NoError(t, err)
			for _, program := range programs {
				require.Contains(t, listed, program, image)
				if data, err := os.ReadFile(filepath.Join(dir, filepath.Base(program))); err == nil {
					require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(data)), listed[program].SHA256, "%s: %s", image, program)
				}
			}
		}
	}
	frontend := r.image("frontend", runtime.GOARCH).Config.Config
	require.Equal(t, []string{"/larder-frontend"}, frontend.Entrypoint)
	require.Equal(t, testkit.FrontendCaps, frontend.Labels["moby.buildkit.frontend.caps"])
	require.Equal(t, "true", frontend.Labels["moby.buildkit.frontend.network.none"])
	require.Contains(t, r.run("ci", "sh", "-c", "larder version"), "larder v"+r.version)
	require.Contains(t, r.run("ci-buildx", "sh", "-c", "larder version && buildx version"), "github.com/docker/buildx")
}

// run runs an image with arguments and returns what it printed.
func (r *release) run(image string, args ...string) string {
	var out bytes.Buffer
	c, err := r.image(image, runtime.GOARCH).Start(r.t.Context(), oci.RunOptions{Args: args, Stdout: &out, Stderr: &out})
	require.NoError(r.t, err)
	require.NoError(r.t, c.Wait(), "%s", &out)
	return out.String()
}

// TestReleasePublished pushes the images and uses the frontend's from there.
func TestReleasePublished(t *testing.T) {
	r := newRelease(t)
	registry := testkit.Registry(t)
	testkit.Run(t, filepath.Join(testkit.Root(t), "scripts", "publish-images.sh"), r.dist, registry+"/acme")
	tags := map[string][]string{"larder": {r.version}, "larder-ci": {r.version, r.version + "-buildx"}}
	if major, rest, _ := strings.Cut(r.version, "."); !strings.Contains(r.version, "-") {
		minor, _, _ := strings.Cut(rest, ".")
		minor = major + "." + minor
		tags["larder"] = append(tags["larder"], major, minor)
		tags["larder-ci"] = append(tags["larder-ci"], major, minor, major+"-buildx", minor+"-buildx")
	}
	crane := testkit.Tool(t, "crane")
	for image, want := range tags {
		tags := slices.DeleteFunc(strings.Fields(testkit.Run(t, crane, "ls", registry+"/acme/"+image)), func(tag string) bool {
			return strings.HasPrefix(tag, "sha256-") // by which a registry without referrers finds SBOMs
		})
		require.ElementsMatch(t, want, tags)
	}
	context := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(context, "Dockerfile"), []byte("FROM scratch\nCOPY Dockerfile /\n"), 0o644))
	addr := testkit.Buildkitd(t, nil)
	testkit.Run(t, testkit.Tool(t, "buildctl"), "--addr", addr, "build", "--frontend", "gateway.v0", "--opt", "source="+registry+"/acme/larder:"+r.version,
		"--local", "context="+context, "--local", "dockerfile="+context)

	// The job of the GitLab component, with the archive's larder, pushes to a registry.
	cmd := exec.CommandContext(t.Context(), "busybox", "sh", "-ec", component(t, map[string]string{"flags": "--builder " + addr}))
	cmd.Dir = context
	cmd.Env = append(os.Environ(), "PATH="+r.unpack(runtime.GOARCH)+":"+os.Getenv("PATH"), "CI_REGISTRY="+registry, "CI_REGISTRY_IMAGE="+registry+"/app",
		"CI_COMMIT_SHORT_SHA=abc", "CI_REGISTRY_USER=job", "CI_REGISTRY_PASSWORD=secret")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	testkit.Run(t, crane, "validate", "--remote", registry+"/app:abc")
}

// TestReleaseAction installs the release by action.yml.
func TestReleaseAction(t *testing.T) {
	r := newRelease(t)
	server := httptest.NewServer(http.StripPrefix("/v"+r.version, http.FileServer(http.Dir(r.dist))))
	defer server.Close()
	output, path, err := setup(t, map[string]string{"version": "v" + r.version, "url": server.URL})
	require.NoError(t, err, output)
	require.Contains(t, testkit.Run(t, filepath.Join(path, "larder"), "version"), "larder v"+r.version)
}
