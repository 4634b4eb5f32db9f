package frontend_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A bill of materials and what the image is made of are attested without a network, and stand up to larder verify.
func offlineProofs(a *airGap) {
	allow := []string{"--opt", "build-arg:LARDER_OFFLINE_ALLOW=" + a.larder[:strings.LastIndex(a.larder, ":")]}
	image := a.registry + "/proofs:zero"
	log, err := a.offline(slices.Concat(a.args, allow, []string{"--opt", "attest:sbom=format=cyclonedx", "--opt", "platform=linux/amd64,linux/arm64",
		"--output", "type=image,push=true,name=" + image})...)
	require.NoError(a.t, err, "%s", log)
	out, err := a.verify("--go-sum", filepath.Join(a.context, "go.sum"), image)
	require.NoError(a.t, err, "%s", out)
	require.Contains(a.t, out, "linux/arm64 sha256:")
	require.Contains(a.t, out, "1 Go binaries with 1 modules, 0 packages\n"+image+" is as its SBOM says\n")

	a.file("FROM go AS build\nGO build -o /out/app .\nFROM alpine\nCOPY <<EOF /lib/apk/db/installed\nP:busybox\nV:1.37.0-r12\nL:GPL-2.0-only\n\nEOF\nCOPY --from=build /out/app /bin/app\n")
	root := a.builds("--opt", "attest:sbom=format=cyclonedx", "--opt", "attest:provenance=mode=max", "--opt", "build-arg:SOURCE_DATE_EPOCH=1700000000")
	a.checkBill(read(a.t, root, "sbom.spdx.json"))
	a.checkCycloneDX(read(a.t, root, "sbom.cdx.json"))
	a.checkMaterials(read(a.t, root, "larder-materials.json"))

	for name, args := range map[string][]string{
		"the scanner that generator= names is an image": {"--opt", "attest:sbom=generator=scanner.invalid/x"},
		"--sbom=format=text: one of spdx, cyclonedx":    {"--opt", "attest:sbom=format=text"},
		"is made by a scanner":                          {"--opt", "build-arg:BUILDKIT_ATTEST_SBOM="},
	} {
		a.file("FROM go\n")
		if name == "is made by a scanner" {
			a.file("FROM alpine\n")
		}
		log, err := a.offline(slices.Concat(a.args, args)...)
		require.Error(a.t, err)
		require.Contains(a.t, log, name)
	}
}

func (a *airGap) verify(args ...string) (string, error) {
	cmd := exec.CommandContext(a.t.Context(), testkit.Larder(a.t, "larder"), append([]string{"verify"}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+a.t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (a *airGap) checkBill(text string) {
	var statement struct {
		PredicateType string
		Predicate     struct {
			CreationInfo struct{ Created string }
			Packages     []struct{ Name, VersionInfo, LicenseDeclared string }
			Files        []struct{ FileName string }
		}
	}
	require.NoError(a.t, json.Unmarshal([]byte(text), &statement))
	require.Equal(a.t, "https://spdx.dev/Document", statement.PredicateType)
	p := statement.Predicate
	require.Equal(a.t, "2023-11-14T22:13:20Z", p.CreationInfo.Created)
	var packages []string
	for _, p := range p.Packages {
		version, _, _ := strings.Cut(p.VersionInfo, ":") // a digest
		packages = append(packages, strings.Join([]string{p.Name, version, p.LicenseDeclared}, " "))
	}
	const none = " NOASSERTION"
	require.Len(a.t, packages, 7)
	require.Contains(a.t, packages[1], "alpine")
	require.Contains(a.t, packages[1], " sha256")
	require.Equal(a.t, []string{
		"example.com/app " + none, "stdlib " + strings.TrimPrefix(toolchain, "go") + " BSD-3-Clause", "a.example/greet v1.2.0" + none,
		"golang.org/toolchain v0.0.1-" + toolchain + ".linux-amd64" + none, "busybox 1.37.0-r12 GPL-2.0-only",
	}, packages[2:])
	require.Len(a.t, p.Files, 1)
	require.Equal(a.t, "/bin/app", p.Files[0].FileName)
}

func (a *airGap) checkCycloneDX(text string) {
	var statement struct {
		PredicateType string
		Predicate     json.RawMessage
	}
	require.NoError(a.t, json.Unmarshal([]byte(text), &statement))
	require.Equal(a.t, "https://cyclonedx.org/bom", statement.PredicateType)
	testkit.RequireCycloneDX(a.t, string(statement.Predicate))
	for _, part := range []string{`"/bin/app"`, `"pkg:golang/a.example/greet@v1.2.0"`, `"busybox"`, `"2023-11-14T22:13:20Z"`} {
		require.Contains(a.t, string(statement.Predicate), part)
	}
}

// Neither the frontend nor a step of the build had a network here, and yet the folders that were sent have no digest.
func (a *airGap) checkMaterials(text string) {
	var statement struct {
		Predicate struct {
			Hermetic    bool
			NotHermetic []string
			Steps       struct{ Network []string }
			Materials   []struct {
				Name   string
				Digest map[string]string
			} `json:"resolvedDependencies"`
		}
	}
	require.NoError(a.t, json.Unmarshal([]byte(text), &statement))
	p := statement.Predicate
	require.False(a.t, p.Hermetic)
	require.Empty(a.t, p.Steps.Network)
	for _, reason := range p.NotHermetic {
		require.Regexp(a.t, "^the folder .* was sent by the client", reason)
	}
	digests := map[string]map[string]string{}
	for _, m := range p.Materials {
		digests[m.Name] = m.Digest
	}
	require.Len(a.t, digests["a.example/greet@v1.2.0"]["dirHash"], 64)
	require.Len(a.t, digests["golang.org/toolchain@v0.0.1-"+toolchain+".linux-amd64"]["dirHash"], 64)
}
