package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// bakeHCL has a target of each kind: by GO lines, on another target, by a Dockerfile of the definition's own, by a matrix, and
// one that inherits.
const bakeHCL = `
variable "OUT" { default = "out" }
group "default" { targets = ["app", "inline", "many"] }
target "_common" {
  args   = { SOURCE_DATE_EPOCH = "0" }
  labels = { common = "yes" }
}
target "base" {
  inherits   = ["_common"]
  dockerfile = "Dockerfile.base"
}
target "app" {
  inherits = ["_common"]
  contexts = { onto = "target:base" }
  output   = ["type=oci,rewrite-timestamp=true,dest=${OUT}/app.tar"]
}
target "inline" {
  inherits          = ["_common"]
  dockerfile-inline = <<EOT
# syntax=REGISTRY/larder:1
FROM go AS build
GO build -o /out/ .
FROM scratch
COPY --from=build /out /
EOT
  output = ["type=oci,rewrite-timestamp=true,dest=${OUT}/inline.tar"]
}
target "many" {
  inherits = ["_common"]
  matrix   = { n = ["one", "two"] }
  name     = "many-${n}"
  args     = { N = n }
  dockerfile-inline = "# syntax=REGISTRY/larder:1\nFROM scratch\nARG N\nENV N=$N\nCOPY go.mod /$N\n"
  output   = ["type=oci,rewrite-timestamp=true,dest=${OUT}/many-${n}.tar"]
}
`

// A baker is a world whose targets are built by bake.
type baker struct {
	*world
	addr, registry string
}

func newBaker(t *testing.T) *baker {
	b := &baker{world: newWorld(t), addr: testkit.Buildkitd(t, nil), registry: testkit.Registry(t)}
	testkit.PushFrontend(t, b.addr, b.registry+"/larder:1")
	for name, text := range map[string]string{
		"docker-bake.hcl": bakeHCL,
		"base.txt":        "the base\n",
		"Dockerfile.base": "FROM scratch\nCOPY base.txt /\nENV BASE=1\n",
		"Dockerfile":      "# syntax=REGISTRY/larder:1\nFROM go AS build\nGO build -trimpath -o /out/app .\nFROM onto\nCOPY --from=build /out/app /\n",
	} {
		b.write(name, strings.ReplaceAll(text, "REGISTRY", b.registry))
	}
	return b
}

// run runs a command in the folder of the definition.
func (b *baker) run(cmd *exec.Cmd, env ...string) (string, error) {
	cmd.Dir = b.context
	cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + testkit.Home(b.t), "BUILDKIT_PROGRESS=plain"}, b.env...), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (b *baker) larder(args ...string) (string, error) {
	return b.run(exec.CommandContext(b.t.Context(), testkit.Larder(b.t, "larder"), append([]string{"bake", "--builder", b.addr}, args...)...))
}

// larder bake makes the images that docker buildx bake makes, to the byte.
func TestBakeAsBuildx(t *testing.T) {
	testkit.Larder(t, "larder-frontend")
	b := newBaker(t)
	proxy := "*.args.GOPROXY=" + testkit.ServeProxy(t, b.proxy).URL
	here, there := filepath.Join(b.context, "here"), filepath.Join(b.context, "there")
	for _, dir := range []string{here, there} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	out, err := b.larder("--set", proxy, "--var", "OUT=here", "--metadata-file", "meta.json")
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, "[many-one ")

	buildx, config := testkit.Tool(t, "buildx"), []string{"BUILDX_CONFIG=" + t.TempDir(), "BUILDX_BUILDER=bake", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "OUT=there"}
	out, err = b.run(exec.CommandContext(t.Context(), buildx, "create", "--name", "bake", "--driver", "remote", b.addr), config...)
	require.NoError(t, err, "%s", out)
	out, err = b.run(exec.CommandContext(t.Context(), buildx, "bake", "--set", proxy), config...)
	require.NoError(t, err, "%s", out)

	var meta map[string]map[string]any
	data, err := os.ReadFile(filepath.Join(b.context, "meta.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &meta))
	for _, name := range []string{"app", "inline", "many-one", "many-two"} {
		want := digestOf(t, filepath.Join(there, name+".tar"))
		require.Equal(t, want, digestOf(t, filepath.Join(here, name+".tar")), name)
		require.Equal(t, want, meta[name]["containerimage.digest"], name)
	}
	require.NotContains(t, meta["base"], "containerimage.digest", "a target that is there for another one exports nothing")
}

// Whatever goes wrong in one target, its error names it, and no target leaves a part of an output.
func TestBakeFails(t *testing.T) {
	b := newBaker(t)
	require.NoError(t, os.Mkdir(filepath.Join(b.context, "out"), 0o755))
	// What a definition itself may reach for, of targets among others that don't.
	b.write("evil.hcl", "target \"app\" { output = [\"type=oci,dest="+filepath.Join(t.TempDir(), "x.tar")+"\"] }\n")
	b.write("spy.hcl", "target \"inline\" { secret = [\"id=x,src=/etc/hostname\"] }\n")
	b.write("cycle.hcl", "target \"base\" { contexts = { app = \"target:app\" } }\n")
	b.write("unset.hcl", "target \"app\" { tags = [NONE] }\n")
	b.write("up.hcl", "target \"many\" { contexts = { up = \"..\" } }\n")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a broken base":     {[]string{"--set", "base.dockerfile=Dockerfile.none"}, "target base: "},
		"a broken target":   {[]string{"--set", "many-two.target=none"}, "target many-two: "},
		"writes beyond":     {[]string{"-f", "docker-bake.hcl", "-f", "evil.hcl"}, "--allow=fs.write="},
		"a secret beyond":   {[]string{"-f", "docker-bake.hcl", "-f", "spy.hcl"}, "--allow=fs.read=/etc/hostname"},
		"a context beyond":  {[]string{"-f", "docker-bake.hcl", "-f", "up.hcl"}, "--allow=fs.read=.."},
		"an unknown target": {[]string{"none"}, "failed to find target none"},
		"one file":          {[]string{"many", "--set", "*.output=type=oci,dest=out/x.tar"}, "the targets many-one and many-two both write out/x.tar, and only one would be left"},
		"one tag":           {[]string{"many", "--set", "*.output=type=registry", "--set", "*.tags=localhost:1/x:1"}, "the targets many-one and many-two both write the image localhost:1/x:1"},
		"one name":          {[]string{"many", "--set", "*.output=type=image,push=true,name=localhost:1/x:1"}, "the targets many-one and many-two both write the image localhost:1/x:1"},
		"a cycle":           {[]string{"-f", "docker-bake.hcl", "-f", "cycle.hcl"}, "infinite loop from base to app"},
		"no such variable":  {[]string{"-f", "docker-bake.hcl", "-f", "unset.hcl"}, "unset.hcl:1"},
		"what isn't done":   {[]string{"--set", "app.policy=disabled=true"}, "target app: larder bake has no policy"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := b.larder(c.args...)
			require.Error(t, err, "%s", out)
			require.Contains(t, out, c.want)
			left, err := os.ReadDir(filepath.Join(b.context, "out"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// --call asks the frontend of each target, and its exit status is the worst.
func TestBakeCalls(t *testing.T) {
	b := newBaker(t)
	out, err := b.larder("--check", "many")
	require.NoError(t, err, "%s", out)
	require.Equal(t, 2, strings.Count(out, "Check complete, no warnings found."), "%s", out)
	b.write("Dockerfile.base", "FROM scratch\nCOPY base.txt /\nENV BASE 1\n")
	out, err = b.larder("--check", "base", "many")
	require.Error(t, err)
	require.Contains(t, out, "LegacyKeyValueFormat")
}

// A target without a Dockerfile, in a folder that has none, is the main package of the module there. One that says itself that
// it is built is built.
func TestBakeWithoutDockerfile(t *testing.T) {
	b := newBaker(t)
	b.write("Dockerfile", "")
	b.write("plain.hcl", "target \"default\" {\n  call   = \"build\"\n  output = [\"type=local,dest=plain\"]\n}\n")
	out, err := b.larder("-f", "plain.hcl")
	require.NoError(t, err, "%s", out)
	require.Equal(t, "hello, larder\n", runBinary(t, filepath.Join(b.context, "plain")))
}
