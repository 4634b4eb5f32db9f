//go:build slow

package docs

import (
	"encoding/pem"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// unrun are the blocks of which nothing can be run here, by how they begin.
var unrun = []string{
	"make demo", // CI runs both
	"jobs:\n  image:\n    runs-on: ubuntu-latest", // actions of GitHub's alone
	"crane append -f empty.tar",                   // measures ko, which only the benchmarks get
}

// TestSlowPipelines runs what the documents show without "$ ", each block in a folder that has what its text takes for
// granted: shell as it is, of pipelines the commands, and bake files as far as bake reads them.
func TestSlowPipelines(t *testing.T) {
	w := newPipelines(t)
	skipped := 0
	for _, name := range documents(t) {
		text, err := os.ReadFile(filepath.Join(testkit.Root(t), filepath.FromSlash(name)))
		require.NoError(t, err)
		for _, language := range []string{"sh", "yaml", "groovy", "hcl"} {
			for _, block := range testkit.Blocks(string(text), language) {
				if slices.ContainsFunc(unrun, func(begin string) bool { return strings.HasPrefix(block, begin) }) {
					skipped++
					continue
				}
				first, _, _ := strings.Cut(strings.TrimSpace(block), "\n")
				t.Run(path.Base(name)+" "+first, func(t *testing.T) { w.block(t, language, block) })
			}
		}
	}
	require.Len(t, unrun, skipped, "each is in the documents once")
}

// pipelines is a world with a tree that builds as most documents have it: in the folder of a service, beside a bundle.
type pipelines struct {
	*world
	replaced *strings.Replacer
}

// docker of pipelines also logs in, and has its builder already. A bake takes modules and frontend from loopback.
const dockerLogin = `#!/bin/sh
case "$*" in
login*) shift; exec CRANE auth login "$@" ;;
"buildx create --use") exit 0 ;;
"buildx bake") set -- "$@" --set '*.args.GOPROXY=@PROXY' --set '*.args.BUILDKIT_SYNTAX=@IMAGE' ;;
esac
exec DOCKER "$@"
`

// A kubeconfig, without which buildx takes no flags for Kubernetes.
const kubeconfig = `apiVersion: v1
kind: Config
current-context: kube
contexts: [{name: kube, context: {cluster: kube, user: kube}}]
clusters: [{name: kube, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: kube}]
`

// before has what is done in the tree for some blocks, by how they begin.
var before = map[string]string{
	"larder init ": "rm Dockerfile .dockerignore && echo 'defaultPlatforms: [linux/amd64]' >.ko.yaml",
}

// prepare makes the tree, what is in a registry, and what readers have at home.
const prepare = `
mkdir -p home/.ssh home/.config/containers && touch home/.netrc home/.gitconfig home/.ssh/known_hosts
printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$CI_REGISTRY" >home/.config/containers/registries.conf
cp -r examples/hello tree && mkdir tree/examples
for copy in tree/examples/hello tree/api tree/web; do cp -r examples/hello $copy; done
printf 'bundle\nstock\nlarder\nmodules\n' >tree/.dockerignore
larder bundle create -o tree/stock --tool golang.org/x/tools/cmd/stringer@TOOLS examples/hello
larder bundle push tree/stock "$CI_REGISTRY_IMAGE/stock:1"
larder bundle keygen -o release.key release.example.com
larder bundle sign --key release.key --serial 1 tree/stock
cp release.key.pub tree
cp -r tree/stock tree/bundle && ln -s "$GOMODCACHE/cache/download" tree/modules
crane pull --format oci IMAGE tree/larder
cp offline-policy.json tree
crane copy IMAGE "$CI_REGISTRY_IMAGE/larder:1"
crane copy IMAGE "$CI_REGISTRY/larder:1"
`

func newPipelines(t *testing.T) *pipelines {
	w := &pipelines{world: newWorld(t)}
	registry, _, _ := strings.Cut(w.image, "/")
	w.files()
	w.env = append(w.env, "PATH="+filepath.Join(w.dir, "bin")+":"+filepath.Dir(testkit.Tool(t, "crane"))+":"+strings.TrimSpace(w.run("echo $PATH")),
		"HOME="+filepath.Join(w.dir, "home"), "DOCKER_CONFIG="+filepath.Join(w.dir, "home/.docker"), "KUBECONFIG="+filepath.Join(w.dir, "kubeconfig"),
		"SSH_AUTH_SOCK="+filepath.Join(w.dir, "agent"), "TOKEN=secret", "GOMODCACHE="+strings.TrimSuffix(testkit.ModuleCache(t), "/cache/download"),
		"CI_REGISTRY="+registry, "CI_REGISTRY_IMAGE="+registry+"/acme/app", "CI_REGISTRY_USER=ci", "CI_REGISTRY_PASSWORD=secret",
		"CI_COMMIT_SHORT_SHA=abc1234", "CI_COMMIT_SHA=abc1234")
	agent := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", filepath.Join(w.dir, "agent"))
	require.NoError(t, agent.Start())
	t.Cleanup(func() { _ = agent.Wait() })

	tools := testkit.Run(t, "go", "-C", testkit.Root(t), "list", "-m", "-f", "{{.Version}}", "golang.org/x/tools")
	w.run(strings.NewReplacer("IMAGE ", w.image+" ", "TOOLS", strings.TrimSpace(tools)).Replace(prepare))
	w.replaced = strings.NewReplacer("registry.internal", registry, "registry.example.com", registry, "${{ github.sha }}", "abc1234",
		"larder-modules=oci-layout://stock@sha256:…", "larder-modules=oci-layout://stock:modules",
		"larder-toolchain=oci-layout://stock@sha256:…", "larder-toolchain=oci-layout://stock:toolchain",
		published, w.image, "sha256:…", strings.TrimSpace(w.run("crane digest "+w.image)),
		"/stock/bundle", "stock", "/etc/release", filepath.Join(w.dir, "release"), "/etc/ssl/corp.pem", filepath.Join(w.dir, "corp.pem"),
		"https://artifactory.internal/artifactory/api/go/go-virtual|https://proxy.golang.org,direct", w.proxy,
		"skopeo copy", "skopeo --insecure-policy copy",
		"larder bundle serve --listen 0.0.0.0:8080", "timeout --preserve-status -s INT 5 larder bundle serve --listen 127.0.0.1:0")
	return w
}

// files writes docker, the kubeconfig, a certificate authority and the source policy.
func (w *pipelines) files() {
	write := func(name string, mode os.FileMode, text string) {
		file := filepath.Join(w.dir, name)
		require.NoError(w.t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(w.t, os.WriteFile(file, []byte(text), mode))
	}
	docker := strings.TrimSpace(w.run("command -v docker"))
	write("bin/docker", 0o755, strings.NewReplacer("CRANE", testkit.Tool(w.t, "crane"), "DOCKER", docker, "@PROXY", w.proxy, "@IMAGE", w.image).Replace(dockerLogin))
	write("kubeconfig", 0o600, kubeconfig)
	authority := httptest.NewTLSServer(nil)
	defer authority.Close()
	write("corp.pem", 0o644, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw})))
	policy, err := os.ReadFile(filepath.Join(testkit.Root(w.t), "docs", "guides", "offline-policy.json"))
	require.NoError(w.t, err)
	write("offline-policy.json", 0o644, string(policy))
}

// block runs what a block has to be run, in a copy of the tree.
func (w *pipelines) block(t *testing.T, language, text string) {
	world := *w.world
	world.t, world.dir = t, filepath.Join(t.TempDir(), "tree")
	require.NoError(t, os.CopyFS(world.dir, os.DirFS(filepath.Join(w.dir, "tree"))))
	for begin, command := range before {
		if strings.HasPrefix(text, begin) {
			world.run(command)
		}
	}
	text = w.replaced.Replace(text)
	if language == "hcl" {
		require.NoError(t, os.WriteFile(filepath.Join(world.dir, "docker-bake.hcl"), []byte(text), 0o644))
	}
	list := script(t, language, text)
	require.NotEmpty(t, list, "nothing to run")
	for _, command := range list {
		world.run(command)
	}
}

// script returns the commands of a block, or for a bake file the one that reads it.
func script(t *testing.T, language, text string) (list []string) {
	switch language {
	case "sh":
		return []string{text}
	case "hcl":
		return []string{"docker buildx bake --print api"}
	case "yaml":
		var doc any
		require.NoError(t, yaml.Unmarshal([]byte(text), &doc))
		return commands(doc)
	case "groovy":
		for _, m := range regexp.MustCompile(`\bsh '(.*)'`).FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
	}
	return list
}

// commands returns what a pipeline runs: GitLab's "script" lists, or a list alone, and GitHub's "run".
func commands(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, x := range v {
			list = append(list, commands(x)...)
		}
	case map[string]any:
		if run, ok := v["run"]; ok {
			return commands(run)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if _, nested := v[key].(map[string]any); nested || key == "script" || key == "steps" {
				list = append(list, commands(v[key])...)
			}
		}
	}
	return list
}
