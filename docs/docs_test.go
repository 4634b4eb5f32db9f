// Package docs holds a test that runs every command of the documents, so that none of them goes stale.
package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// The image that the documents name, in the place of which the tests use one on a registry of their own.
const published = "ghcr.io/larder-build/larder:1"

// first are the documents whose commands are run by TestCommands, as their readers meet them: what the README shows is a
// build with nothing cached. Those of all others take longer, and are run by TestSlowCommands.
var first = []string{"README.md", "docs/reference/audit.md", "docs/reference/command.md"}

func TestCommands(t *testing.T) {
	w := newWorld(t)
	w.follow(first)
}

// follow runs the lines of console blocks that begin with "$ ", in order, in a copy of the examples, and wants what is
// shown below them in the output. Replaced are: the frontend's image, by one on loopback; the module proxy, by
// one over this machine's module cache; docker, of which only "docker buildx" is used, by buildx on a BuildKit daemon;
// and larder's builder, by that daemon: with its own, make demo builds what the README does. The Dockerfile that README.md
// shows is in tour.Dockerfile.
func (w *world) follow(names []string) {
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(testkit.Root(w.t), filepath.FromSlash(name)))
		require.NoError(w.t, err)
		for _, block := range testkit.Blocks(string(text), "dockerfile") {
			w.write("tour.Dockerfile", block)
		}
		for _, block := range testkit.Blocks(string(text), "console") {
			w.console(block)
		}
	}
}

// console runs the commands of a block. A line below a command has to be in its output, but for what differs from run
// to run: durations and the numbers of vertices. A line of "…" stands for others.
func (w *world) console(block string) {
	output := ""
	for line := range strings.Lines(block) {
		line = strings.TrimSuffix(line, "\n")
		command, ok := strings.CutPrefix(line, "$ ")
		switch {
		case ok:
			output = w.run(command)
		case line == "…" || strings.Contains(line, " DONE "):
		default:
			line = regexp.MustCompile(`https://proxy\.golang\.org(,( then)? direct)?`).ReplaceAllLiteralString(line, w.proxy)
			line = strings.ReplaceAll(line, "linux/amd64", "linux/"+runtime.GOARCH)
			line = regexp.MustCompile(`^#\d+ (\d+\.\d+ )?`).ReplaceAllString(line, "")
			require.Contains(w.t, output, line, "this line isn't in the output")
		}
	}
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

// TestReadmes wants both languages of the README to have the same code, table rows and links, and the README to be short.
func TestReadmes(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(testkit.Root(t), name))
		require.NoError(t, err)
		return string(text)
	}
	english, chinese := read("README.md"), read("README.zh-CN.md")
	require.Less(t, strings.Count(english, "\n"), 150)
	require.Equal(t, strings.Count(english, "\n|"), strings.Count(chinese, "\n|"))
	for _, same := range []string{"(?s)```.*?```", `\]\([^R][^)]*\)`, `(?m)^#+ `} {
		want := regexp.MustCompile(same).FindAllString(english, -1)
		require.NotEmpty(t, want)
		require.Equal(t, want, regexp.MustCompile(same).FindAllString(chinese, -1))
	}
}

// documents returns the names of the documents for users, below the root.
func documents(t *testing.T) (names []string) {
	root := os.DirFS(testkit.Root(t))
	require.NoError(t, fs.WalkDir(root, "docs", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "docs/dev": // for contributors
			return fs.SkipDir
		case path.Ext(name) == ".md":
			names = append(names, name)
		}
		return nil
	}))
	return append(names, "README.md")
}

// TestLinks wants each relative link of the documents to lead to a file, and to a heading of it if it names one.
func TestLinks(t *testing.T) {
	root := testkit.Root(t)
	text := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		require.NoError(t, err)
		return string(text)
	}
	for _, name := range append(documents(t), "README.zh-CN.md", "CHANGELOG.md", "SECURITY.md") {
		for _, link := range regexp.MustCompile(`\]\(([^):#]*)(?:#([^)]+))?\)`).FindAllStringSubmatch(text(name), -1) {
			file := name
			if link[1] != "" {
				file = path.Join(path.Dir(name), link[1])
			}
			_, err := os.Stat(filepath.Join(root, filepath.FromSlash(file)))
			require.NoError(t, err, "a link of %s", name)
			if link[2] != "" {
				require.Contains(t, anchors(text(file)), link[2], "%s links to a heading that %s lacks", name, file)
			}
		}
	}
}

// TestURLsInCode wants the addresses of documents that programs print to lead to a file, and to a heading if they name one.
func TestURLsInCode(t *testing.T) {
	_, code := namesInCode(t)
	urls := regexp.MustCompile(`larder/blob/main/(docs/[\w/-]+\.md)#?([\w-]*)`).FindAllStringSubmatch(code, -1)
	require.NotEmpty(t, urls)
	for _, url := range urls {
		text, err := os.ReadFile(filepath.Join(testkit.Root(t), filepath.FromSlash(url[1])))
		require.NoError(t, err)
		if url[2] != "" {
			require.Contains(t, anchors(string(text)), url[2], url[0])
		}
	}
}

// TestWidth wants the text of the documents to be wrapped at 100 columns: not code, tables, headings, pictures and what
// programs write.
func TestWidth(t *testing.T) {
	apart := regexp.MustCompile("(?sm)^```.*?^```$|^<!-- example.*?^<!-- end[^\\n]*|^(?:[|#!]|    |20)[^\\n]*")
	for _, name := range documents(t) {
		text, err := os.ReadFile(filepath.Join(testkit.Root(t), filepath.FromSlash(name)))
		require.NoError(t, err)
		for line := range strings.Lines(apart.ReplaceAllString(string(text), "")) {
			require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSpace(line)), 100, "%s: %s", name, line)
		}
	}
}

// anchors returns the names by which the headings of a document are linked to, as GitHub makes them.
func anchors(text string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// TestSecurityModel wants every promise of the security model to name tests that attack it.
func TestSecurityModel(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs", "explanation", "security-model.md"))
	require.NoError(t, err)
	for _, promise := range strings.Split(string(text), "\n- ")[1:] {
		promise, _, _ = strings.Cut(promise, "\n\n")
		require.True(t, namedTest.MatchString(promise) || strings.HasPrefix(promise, "At worst"), promise)
	}
}

// namedTest matches the name of a test in a document, with that of a part of it.
var namedTest = regexp.MustCompile("`((?:Test|Fuzz)\\w+)(?:/([^`]+))?`")

// TestNamedTests wants the tests that documents name to be there.
func TestNamedTests(t *testing.T) {
	root := testkit.Root(t)
	sources := map[string]string{} // of the tests of each folder
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		code, err := os.ReadFile(name)
		sources[filepath.Dir(name)] += string(code)
		return err
	}))
	there := func(test, part string) bool {
		for dir, code := range sources {
			_, err := os.Stat(filepath.Join(dir, "testdata", "script", part+".txtar"))
			if strings.Contains(code, "\nfunc "+test+"(") && (part == "" || err == nil || strings.Contains(code, `{"`+part+`"`)) {
				return true
			}
		}
		return false
	}
	for _, doc := range []string{"explanation/security-model.md", "reference/faults.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", filepath.FromSlash(doc)))
		require.NoError(t, err)
		named := namedTest.FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, named)
		for _, m := range named {
			require.True(t, there(m[1], m[2]), "%s names %s, which isn't there", doc, m[0])
		}
	}
}

// A world is where the commands run.
type world struct {
	t     *testing.T
	dir   string
	env   []string
	proxy string // the module proxy in the place of proxy.golang.org
	image string // the frontend's image in the place of the published one
}

func newWorld(t *testing.T) *world {
	testkit.Larder(t, "larder-frontend")
	addr := testkit.Buildkitd(t, nil)
	w := &world{
		t: t, dir: t.TempDir(),
		proxy: testkit.ServeProxy(t, testkit.ModuleCache(t)).URL,
		image: testkit.Registry(t) + "/larder:1",
	}
	examples := filepath.Join(testkit.Root(t), "examples")
	require.NoError(t, os.CopyFS(filepath.Join(w.dir, "examples"), os.DirFS(examples)))
	text, err := os.ReadFile(filepath.Join(examples, "hello", "Dockerfile"))
	require.NoError(t, err)
	w.write("examples/hello/Dockerfile", string(text))
	testkit.NewRepo(t, w.dir).Commit(nil) // readers have a clone, of which a build stamps the commit

	tools := t.TempDir()
	docker := strings.NewReplacer("@PROXY", w.proxy, "BUILDX", testkit.Tool(t, "buildx")).Replace(docker)
	require.NoError(t, os.WriteFile(filepath.Join(tools, "docker"), []byte(docker), 0o755))
	require.NoError(t, os.Symlink(testkit.Larder(t, "larder"), filepath.Join(tools, "larder")))
	w.env = append(os.Environ(),
		"PATH="+tools+":"+os.Getenv("PATH"),
		"XDG_DATA_HOME="+t.TempDir(), "DOCKER_HOST=unix:///nonexistent/docker.sock", "BUILDKIT_HOST="+addr, "GOPROXY="+w.proxy, "GOSUMDB=off",
		"BUILDX_CONFIG="+t.TempDir(), "BUILDX_BUILDER=docs", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "BUILDKIT_PROGRESS=plain")
	w.run("docker buildx create --name docs --driver remote " + addr)
	testkit.PushFrontend(t, addr, w.image)
	return w
}

// docker is the command "docker buildx". It names the module proxy, which larder build takes from the environment.
const docker = `#!/bin/sh
[ "$1" = buildx ] || exit 64
shift
[ "$1" = build ] && shift && set -- build --build-arg GOPROXY=@PROXY "$@"
exec BUILDX "$@"
`

// write writes a Dockerfile, with the frontend's image replaced.
func (w *world) write(name, text string) {
	require.Contains(w.t, text, published)
	text = strings.ReplaceAll(text, published, w.image)
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, filepath.FromSlash(name)), []byte(text), 0o644))
}

// run runs a command, which has to succeed, and returns what it printed.
func (w *world) run(command string) string {
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euc", command)
	cmd.Dir, cmd.Env = w.dir, w.env
	start := time.Now()
	out, err := cmd.CombinedOutput()
	w.t.Logf("%s: %s", time.Since(start).Round(time.Second/10), command)
	require.NoError(w.t, err, "$ %s\n%s", command, out)
	return string(out)
}
