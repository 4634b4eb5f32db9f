package frontend_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// An airGap is a gateway whose frontend, modules and base image are folders on disk.
type airGap struct {
	*gateway
	args []string // that put the folders in the place of what would be fetched
}

func newAirGap(g *gateway) *airGap {
	g.anew()
	alpine := g.registry + "/alpine:3"
	testkit.PushAlpine(g.t, g.addr, alpine)
	a := &airGap{gateway: g}
	a.layout("frontend", g.larder, g.larder)
	a.layout("base", "alpine", alpine)
	for _, name := range []string{"larder-modules", "larder-toolchain"} {
		a.args = append(a.args, "--local", name+"="+g.modules, "--opt", "context:"+name+"=local:"+name)
	}
	return a
}

// layout puts an OCI layout in the place of an image.
func (a *airGap) layout(store, context, image string) {
	crane, dir := testkit.Tool(a.t, "crane"), filepath.Join(a.t.TempDir(), store)
	testkit.Run(a.t, crane, "pull", "--format=oci", image, dir)
	dgst := strings.TrimSpace(testkit.Run(a.t, crane, "digest", image))
	a.args = append(a.args, "--oci-layout", store+"="+dir, "--opt", "context:"+context+"=oci-layout://"+store+"@"+dgst)
}

// offline builds with LARDER_OFFLINE=1 and returns the log.
func (a *airGap) offline(args ...string) (string, error) {
	args = append([]string{"--opt", "build-arg:LARDER_OFFLINE=1", "--opt", "build-arg:GOPROXY=" + a.proxy}, args...)
	out, err := a.buildctlCommand(a.context, args...).CombinedOutput()
	return string(out), err
}

// builds builds from the folders, and returns the folder that the result was written to.
func (a *airGap) builds(args ...string) string {
	root := a.t.TempDir()
	log, err := a.offline(slices.Concat(args, a.args, []string{"--output", "type=local,dest=" + root})...)
	require.NoError(a.t, err, "%s", log)
	return root
}

// refuses builds, wants a refusal that has some texts in this order, and returns the log.
func (a *airGap) refuses(args []string, texts ...string) string {
	log, err := a.offline(args...)
	require.Error(a.t, err)
	_, rest, ok := strings.Cut(log, "LARDER_OFFLINE=1: the build would use a network:\n")
	require.True(a.t, ok, "%s", log)
	for _, text := range texts {
		_, rest, ok = strings.Cut(rest, text)
		require.True(a.t, ok, "%s\nis missing, or not in its place, in\n%s", text, log)
	}
	return log
}

// What LARDER_OFFLINE=1 lets be built and what it refuses, by a real builder.
func offline(g *gateway) {
	a := newAirGap(g)
	for _, test := range []struct {
		name string
		run  func(*airGap)
	}{
		{"level zero", offlineLevelZero}, {"GO lines", offlineGoLines}, {"a plain Dockerfile", offlinePlain},
		{"Larder's own steps", offlineOwnSteps}, {"attestation", offlineAttestation}, {"proofs", offlineProofs},
		{"subrequests", offlineSubrequests},
		{"source policy", offlineSourcePolicy}, {"larder build", offlineLarderBuild},
	} {
		g.t.Run(test.name, func(t *testing.T) {
			gateway := *a.gateway
			gateway.t, gateway.context = t, t.TempDir()
			require.NoError(t, os.CopyFS(gateway.context, os.DirFS(a.context)))
			test.run(&airGap{&gateway, a.args})
		})
	}
}

func offlineLevelZero(a *airGap) {
	a.runApp(a.builds())
}

func offlineGoLines(a *airGap) {
	a.file("FROM missing.invalid/golang AS unneeded\nRUN go build .\nFROM go AS build\nGO vet ./...\nGO build -o /out/app .\nFROM alpine\nRUN mkdir -p /usr/local/bin\nCOPY --from=build /out/app /usr/local/bin/app\n")
	a.runApp(a.builds())
	a.file("FROM go AS build\nGO --network=default build -o /out/app .\nFROM static\nCOPY --from=build /out/app /usr/local/bin/app\n")
	a.refuses(nil, "Dockerfile:3: GO --network=default build -o /out/app .\n", "the step runs with the builder's network: pass a folder that holds golang.org/toolchain with --build-context larder-toolchain=FOLDER")
	a.refuses(a.args, "Dockerfile:3: GO --network=default build -o /out/app .\n", "the line has --network=default")
}

// RUN has no network, and a base image comes from a folder or an allowed registry.
func offlinePlain(a *airGap) {
	a.file("FROM alpine AS a\nRUN tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' >/devices\nFROM scratch\nCOPY --from=a /devices /\n")
	require.Equal(a.t, "lo\n", read(a.t, a.builds(), "devices"))

	a.file("FROM " + a.registry + "/alpine:3 AS a\nFROM scratch\nCOPY --from=a /bin/busybox /\nADD " + a.proxy + "/x /\n")
	shown := a.refuses(nil, "Dockerfile:2: FROM "+a.registry+"/alpine:3 AS a\n", "comes from a registry: pass it with --build-context "+a.registry+"/alpine:3=oci-layout://FOLDER, or allow its registry with --build-arg LARDER_OFFLINE_ALLOW="+a.registry+"\n",
		"Dockerfile:5: ADD "+a.proxy+"/x /\n", a.proxy+"/x is downloaded")
	require.Contains(a.t, shown, ">>> FROM "+a.registry)
	require.Contains(a.t, shown, ">>> ADD "+a.proxy)
	a.file("FROM " + a.registry + "/alpine:3 AS a\nFROM scratch\nCOPY --from=a /bin/busybox /\n")
	log, err := a.offline("--opt", "build-arg:LARDER_OFFLINE_ALLOW="+a.registry+"/alpine")
	require.NoError(a.t, err, "%s", log)
}

// Larder's own steps are no exception, and neither is its image.
func offlineOwnSteps(a *airGap) {
	a.refuses(nil, "the image "+a.larder+"@sha256:", "it is this frontend's own, which runs steps: pass it with --build-context "+a.larder+"=oci-layout://FOLDER")
}

func offlineAttestation(a *airGap) {
	image := a.registry + "/attested:1"
	a.file("FROM " + a.registry + "/alpine:3 AS a\nRUN true\nFROM alpine\nCOPY --from=a /bin/busybox /b\n")
	log, err := a.offline(slices.Concat(a.args, []string{"--opt", "build-arg:LARDER_OFFLINE_ALLOW=" + a.registry + "/alpine", "--opt", "attest:provenance=mode=min",
		"--opt", "platform=linux/amd64", "--output", "type=image,push=true,name=" + image})...)
	require.NoError(a.t, err, "%s", log)
	crane := testkit.Tool(a.t, "crane")
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	require.NoError(a.t, json.Unmarshal([]byte(testkit.Run(a.t, crane, "manifest", image)), &index))
	require.Len(a.t, index.Manifests, 2)
	require.Equal(a.t, "attestation-manifest", index.Manifests[1].Annotations["vnd.docker.reference.type"])
	var manifest struct {
		Layers []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	require.NoError(a.t, json.Unmarshal([]byte(testkit.Run(a.t, crane, "manifest", a.registry+"/attested@"+index.Manifests[1].Digest)), &manifest))
	for _, l := range manifest.Layers {
		if l.Annotations["in-toto.io/predicate-type"] == "https://larder.build/offline/v1" {
			a.checkStatement(testkit.Run(a.t, crane, "blob", a.registry+"/attested@"+l.Digest), index.Manifests[0].Digest)
			return
		}
	}
	require.Fail(a.t, "the image has no attestation of Larder's")
}

func (a *airGap) checkStatement(text, image string) {
	var statement struct {
		Subject   []struct{ Digest map[string]string }
		Predicate struct {
			Platform   string
			Definition string
			Allowed    []string
			Sources    map[string]int
			Images     []string
			Steps      map[string]int
		}
	}
	require.NoError(a.t, json.Unmarshal([]byte(text), &statement))
	require.Equal(a.t, strings.TrimPrefix(image, "sha256:"), statement.Subject[0].Digest["sha256"])
	p := statement.Predicate
	require.Equal(a.t, "linux/amd64", p.Platform)
	require.Regexp(a.t, "^sha256:[0-9a-f]{64}$", p.Definition)
	require.Equal(a.t, []string{a.registry + "/alpine"}, p.Allowed)
	require.Equal(a.t, map[string]int{"docker-image": 1, "oci-layout": 1}, p.Sources)
	require.Len(a.t, p.Images, 1)
	require.Contains(a.t, p.Images[0], a.registry+"/alpine:3@sha256:")
	require.Equal(a.t, map[string]int{"network": 0, "total": 1, "insecure": 0, "ssh": 0}, p.Steps)
}

// What is asked about the file is answered without a network, for this one can't be had with it.
func offlineSubrequests(a *airGap) {
	a.file("FROM missing.invalid/base AS a\nRUN --network=host x\n")
	for _, request := range []string{"lint", "outline", "targets"} {
		log, err := a.offline("--opt", "requestid=frontend."+request)
		require.NoError(a.t, err, "%s", log)
	}
}

// The policy that denies every source of the network is a second proof, which doesn't depend on Larder.
func offlineSourcePolicy(a *airGap) {
	policy := filepath.Join(testkit.Root(a.t), "docs", "guides", "offline-policy.json")
	a.runApp(a.builds("--source-policy-file", policy))

	a.file("FROM " + a.registry + "/alpine:3\n")
	log, err := a.offline(slices.Concat(a.args, []string{"--source-policy-file", policy, "--opt", "build-arg:LARDER_OFFLINE_ALLOW=" + a.registry})...)
	require.Error(a.t, err)
	require.Contains(a.t, log, "denied by policy")

	cmd := exec.CommandContext(a.t.Context(), testkit.Tool(a.t, "buildx"), "build", "--output", a.t.TempDir(), a.context)
	cmd.Env = append(os.Environ(), "BUILDX_CONFIG="+a.state, "BUILDX_BUILDER=test", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY="+policy)
	out, err := cmd.CombinedOutput()
	require.Error(a.t, err)
	require.Contains(a.t, string(out), "denied by policy")
}

// A build by the command, whose frontend runs in the client, is checked as well.
func offlineLarderBuild(a *airGap) {
	env := append(os.Environ(), "GOPROXY="+a.proxy)
	larder := func(args ...string) (string, error) {
		cmd := exec.CommandContext(a.t.Context(), testkit.Larder(a.t, "larder"), append(append([]string{"build", "--builder", a.addr, "--build-arg", "LARDER_OFFLINE=1"}, args...), a.context)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	root := filepath.Join(a.t.TempDir(), "root")
	stocked := []string{"-o", root, "--provenance", "mode=min", "--build-context", "larder-modules=" + a.modules, "--build-context", "larder-toolchain=" + a.modules}
	log, err := larder(stocked...)
	require.NoError(a.t, err, "%s", log)
	a.runApp(root)
	require.Contains(a.t, read(a.t, root, "larder-offline.json"), `"predicateType": "https://larder.build/offline/v1"`)

	log, err = larder("-o", root)
	require.Error(a.t, err)
	require.NotContains(a.t, log, "larder.internal/", "no line is shown that the user didn't write")
	require.Contains(a.t, log, "the step runs with the builder's network: pass a folder that holds golang.org/toolchain with --build-context larder-toolchain=FOLDER")
	require.Contains(a.t, log, "pass the modules with --build-context larder-modules=FOLDER, or commit a vendor folder")

	env = append(env, "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY="+filepath.Join(testkit.Root(a.t), "docs", "guides", "offline-policy.json"))
	log, err = larder(stocked...)
	require.NoError(a.t, err, "%s", log)
	a.file("FROM " + a.registry + "/alpine:3\n")
	log, err = larder("-o", root, "--build-arg", "LARDER_OFFLINE_ALLOW="+a.registry)
	require.Error(a.t, err)
	require.Contains(a.t, log, "denied by policy")
}
