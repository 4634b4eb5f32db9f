//go:build slow

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A side is one of the two sides of an air gap: a builder, a network, and the source trees, which are in both.
type side struct {
	t     *testing.T
	ns    *testkit.Netns
	addr  string
	trees string
	home  string
	env   []string
}

func newSide(t *testing.T, ns *testkit.Netns, trees string) *side {
	s := &side{t: t, ns: ns, addr: testkit.Buildkitd(t, ns), trees: filepath.Join(t.TempDir(), "src"), home: testkit.Home(t)}
	require.NoError(t, os.CopyFS(s.trees, os.DirFS(trees)))
	s.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "BUILDKIT_PROGRESS=plain", "GOFLAGS=-modcacherw", "BUILDX_CONFIG=" + s.home, "BUILDX_BUILDER=air",
		"BUILDX_BAKE_ENTITLEMENTS_FS=0", "BUILDX_NO_DEFAULT_ATTESTATIONS=1"}
	s.run(testkit.Tool(t, "buildx"), "create", "--name", "air", "--driver", "remote", s.addr)
	return s
}

// run runs a command on this side, in the folder of the trees.
func (s *side) run(name string, args ...string) string {
	cmd := s.ns.Command(s.t, name, args...)
	cmd.Env, cmd.Dir = s.env, s.trees
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
	return string(out)
}

func (s *side) larder(args ...string) string { return s.run(testkit.Larder(s.t, "larder"), args...) }

// An airImage is one that is built on both sides.
type airImage struct{ name, tree, file, platforms string }

var airImages = []airImage{
	{"hello", "hello", "Dockerfile", "linux/" + runtime.GOARCH},
	{"alpine", "app", "Dockerfile.alpine", "linux/" + runtime.GOARCH},
	{"two", "app", "Dockerfile", "linux/amd64,linux/arm64"},
}

// epoch is the time of all images, and of the files that RUN makes.
const epoch = "SOURCE_DATE_EPOCH=0"

// output is where an image goes, the same however it is built.
func output(file string) string { return "type=oci,rewrite-timestamp=true,dest=" + file }

// digests builds all images and returns their digests by name. build is a command without what is an image's own.
func (s *side) digests(build ...string) map[string]string {
	got := map[string]string{}
	for _, i := range airImages {
		file := filepath.Join(s.t.TempDir(), i.name+".tar")
		s.run(build[0], slices.Concat(build[1:], []string{"-f", filepath.Join(i.tree, i.file), "--platform", i.platforms, "--build-arg", epoch, "--output", output(file), i.tree})...)
		got[i.name] = digestOf(s.t, file)
	}
	return got
}

// baked builds all images by a bake file, with named contexts.
func (s *side) baked(contexts []string) map[string]string {
	dir := s.t.TempDir()
	args := []string{"bake", "-f", filepath.Join(dir, "docker-bake.hcl"), "--set", "*.args.LARDER_OFFLINE=1", "--set", "*.args." + epoch}
	for _, c := range contexts {
		args = append(args, "--set", "*.contexts."+c)
	}
	var text strings.Builder
	for _, i := range airImages {
		fmt.Fprintf(&text, bakeText, i.name, i.tree, i.file, strings.ReplaceAll(i.platforms, ",", `", "`), output(filepath.Join(dir, i.name+".tar")))
		args = append(args, i.name)
	}
	require.NoError(s.t, os.WriteFile(filepath.Join(dir, "docker-bake.hcl"), []byte(text.String()), 0o644))
	s.run(testkit.Tool(s.t, "buildx"), args...)
	got := map[string]string{}
	for _, i := range airImages {
		got[i.name] = digestOf(s.t, filepath.Join(dir, i.name+".tar"))
	}
	return got
}

const (
	alpineFile = `# syntax=REGISTRY/larder:1
FROM go AS build
GO test ./...
GO build -o /out/app .
FROM REGISTRY/alpine:3.22
ARG SOURCE_DATE_EPOCH=0
RUN addgroup -S app 2>/dev/null; echo stocked >/etc/larder
COPY --from=build /out/app /usr/local/bin/app
`
	bakeText = `
target %q {
  context = %q
  dockerfile = %q
  platforms = ["%s"]
  output = [%q]
}
`
	toolGo = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"a tool from the bundle\") }\n"
)

// Only a bundle crosses the gap, and there everything builds to what it is on this side.
func TestSlowAirGap(t *testing.T) {
	testkit.NeedContainers(t)
	testkit.Larder(t, "larder-frontend")
	modules, registry := t.TempDir(), testkit.Registry(t)
	proxy := testkit.ServeProxy(t, testkit.ModuleCache(t), modules)
	testkit.Module{Path: "tool.example/say", Version: "v1.0.0", Files: map[string]string{"go.mod": "module tool.example/say\n\ngo 1.24\n", "main.go": toolGo}}.Write(t, modules)
	trees := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(trees, "hello"), os.DirFS(filepath.Join(testkit.Root(t), "examples", "hello"))))
	sums := testkit.Module{Path: "a.example/greet", Version: "v1.2.0", Files: map[string]string{"greet.go": "package greet\n\nfunc Hello(name string) string { return \"hello, \" + name }\n"}}.Write(t, modules) +
		testkit.Module{Path: "b.example/Name/v2", Version: "v2.0.1", Files: map[string]string{"name.go": "package name\n\nconst Name = \"larder\"\n"}}.Write(t, modules)
	require.NoError(t, os.Mkdir(filepath.Join(trees, "app"), 0o755))
	for name, text := range map[string]string{
		"hello/Dockerfile": "# syntax=REGISTRY/larder:1\n", "app/Dockerfile": "# syntax=REGISTRY/larder:1\n", "app/Dockerfile.alpine": alpineFile, "app/main.go": mainGo, "app/go.sum": sums,
		"app/go.mod":       "module example.com/app\n\ngo 1.26\n\nrequire (\n\ta.example/greet v1.2.0\n\tb.example/Name/v2 v2.0.1\n)\n",
		"app/main_test.go": "package main\n\nimport \"testing\"\n\nfunc TestMain(m *testing.M) { m.Run() }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(trees, name), []byte(strings.ReplaceAll(text, "REGISTRY", registry)), 0o644))
	}
	here := newSide(t, nil, trees)
	testkit.PushFrontend(t, here.addr, registry+"/larder:1")
	testkit.PushAlpine(t, here.addr, registry+"/alpine:3.22")
	here.env = append(here.env, "GOPROXY="+proxy.URL, "GOSUMDB=off")

	stocked := filepath.Join(t.TempDir(), "stocked")
	here.larder("bundle", "create", "-o", stocked, "--tool", "tool.example/say@v1.0.0", "hello", "app")
	want := here.digests(testkit.Tool(t, "buildx"), "build", "--build-arg", "GOPROXY="+proxy.URL)

	there := newSide(t, testkit.Offline(t), trees)
	bundle := filepath.Join(there.home, "bundle")
	require.NoError(t, os.Rename(stocked, bundle))
	there.larder("bundle", "verify", "--go-sum", "hello/go.sum", "--go-sum", "app/go.sum", bundle)
	crossed(there, bundle, want)
}

// crossed builds behind the gap, by each door, with and without a policy that denies the network to BuildKit.
func crossed(there *side, bundle string, want map[string]string) {
	t := there.t
	buildx, policy := testkit.Tool(t, "buildx"), filepath.Join(testkit.Root(t), "docs", "guides", "offline-policy.json")
	larder := []string{testkit.Larder(t, "larder"), "build", "--builder", there.addr, "--bundle", bundle, "--build-arg", "LARDER_OFFLINE=1"}
	contexts := contextsOf(t, there.larder("build", "--builder", there.addr, "--bundle", bundle, "--call", "outline", "-f", filepath.Join("app", "Dockerfile.alpine"), "app"))
	require.Len(t, contexts, 4)
	for _, env := range []string{"X=", "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=" + policy} {
		sub := *there
		sub.env = append(append([]string{}, there.env...), env)
		require.Equal(t, want, sub.digests(larder...))
		require.Equal(t, want, sub.digests(append([]string{buildx, "build", "--build-arg", "LARDER_OFFLINE=1"}, flags("--build-context", contexts)...)...))
		require.Equal(t, want, sub.baked(contexts))
	}

	bin := filepath.Join(t.TempDir(), "bin")
	there.larder("tools", "install", "--bundle", bundle, "-o", bin, "say")
	require.Equal(t, "a tool from the bundle\n", testkit.Run(t, filepath.Join(bin, "say")))
	root := t.TempDir()
	there.run(larder[0], append(larder[1:], "-f", "app/Dockerfile.alpine", "-o", root, "app")...)
	require.Equal(t, "stocked\n", testkit.Run(t, "cat", filepath.Join(root, "etc/larder")))
	require.Equal(t, "hello, larder\n", runBinary(t, root))
}

// contextsOf reads the named contexts out of the command that 'larder build --bundle' prints.
func contextsOf(t *testing.T, out string) (list []string) {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "docker buildx build ") {
			words := strings.Fields(line)
			for i, w := range words {
				if w == "--build-context" {
					list = append(list, strings.Trim(words[i+1], "'"))
				}
			}
			return list
		}
	}
	require.Fail(t, "no buildx command is printed", "%s", out)
	return nil
}

func flags(name string, values []string) (args []string) {
	for _, v := range values {
		args = append(args, name, v)
	}
	return args
}
