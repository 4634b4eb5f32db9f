// Package docs holds a test that runs every command of the documents, so that none of them goes stale.
package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// The image that the documents name, in the place of which the tests use one on a registry of their own.
const published = "ghcr.io/larder-build/larder:1"

// TestCommands runs the lines of console blocks that begin with "$ ", in order, in a copy of the examples. Replaced are: the frontend's image, by one on loopback; the module proxy, by one over this machine's module
// cache; and docker, of which only "docker buildx" is used, by buildx on a BuildKit daemon.
func TestCommands(t *testing.T) {
	root := testkit.Root(t)
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	w := newWorld(t)
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, c := range console(string(text)) {
			w.run(c)
		}
	}
}

// console returns the commands of a document's console blocks.
func console(text string) []string {
	var commands []string
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			if c, ok := strings.CutPrefix(line, "$ "); ok {
				commands = append(commands, strings.TrimSpace(c))
			}
		}
	}
	return commands
}

// TestContract wants the two commands of the README to be what CI runs.
func TestContract(t *testing.T) {
	root := testkit.Root(t)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	require.NoError(t, err)
	for _, c := range []string{"make demo", "make test"} {
		require.Contains(t, string(readme), "\n"+c)
		require.Contains(t, string(ci), c)
	}
}

// TestLinks wants each relative link of the documents to lead to a file.
func TestLinks(t *testing.T) {
	root := testkit.Root(t)
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, link := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(string(text), -1) {
			require.FileExists(t, filepath.Join(filepath.Dir(file), link[1]), "a link of %s", filepath.Base(file))
		}
	}
}

type world struct {
	t   *testing.T
	dir string
	env []string
}

func newWorld(t *testing.T) *world {
	testkit.Larder(t, "larder-frontend")
	addr, registry := testkit.Buildkitd(t, nil), testkit.Registry(t)
	w := &world{t: t, dir: t.TempDir()}
	image := registry + "/larder:1"
	examples := filepath.Join(w.dir, "examples")
	require.NoError(t, os.CopyFS(examples, os.DirFS(filepath.Join(testkit.Root(t), "examples"))))
	dockerfile := filepath.Join(examples, "hello", "Dockerfile")
	text, err := os.ReadFile(dockerfile)
	require.NoError(t, err)
	require.Contains(t, string(text), published)
	require.NoError(t, os.WriteFile(dockerfile, []byte(strings.ReplaceAll(string(text), published, image)), 0o644))

	tools := t.TempDir()
	proxy := testkit.ServeProxy(t, testkit.ModuleCache(t)).URL
	script := "#!/bin/sh\n[ \"$1\" = buildx ] || exit 64\nshift\n[ \"$1\" = build ] && shift && set -- build --build-arg GOPROXY=" + proxy + " \"$@\"\nexec " + testkit.Tool(t, "buildx") + " \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(tools, "docker"), []byte(script), 0o755))
	w.env = append(os.Environ(),
		"PATH="+tools+":"+filepath.Dir(testkit.Larder(t, "larder"))+":"+os.Getenv("PATH"),
		"XDG_DATA_HOME="+t.TempDir(), "DOCKER_HOST=unix:///nonexistent/docker.sock", "GOPROXY="+proxy,
		"BUILDX_CONFIG="+t.TempDir(), "BUILDX_BUILDER=docs", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "BUILDKIT_PROGRESS=plain")
	w.run("docker buildx create --name docs --driver remote " + addr)
	w.push(addr, image)
	return w
}

// push makes the frontend's image of the binary that is built already.
func (w *world) push(addr, image string) {
	dir := w.t.TempDir()
	data, err := os.ReadFile(testkit.Larder(w.t, "larder-frontend"))
	require.NoError(w.t, err)
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "larder-frontend"), data, 0o755))
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY larder-frontend /\nENTRYPOINT [\"/larder-frontend\"]\n"), 0o644))
	testkit.Run(w.t, testkit.Tool(w.t, "buildctl"), "--addr", addr, "build", "--frontend", "dockerfile.v0", "--local", "context="+dir, "--local", "dockerfile="+dir,
		"--output", "type=image,push=true,name="+image)
}

func (w *world) run(command string) {
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euc", command)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "$ %s\n%s", command, out)
}
