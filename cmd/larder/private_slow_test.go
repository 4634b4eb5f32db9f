//go:build slow

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Docker's clients pass the secrets and the agent in their own ways, buildx as flags and bake in its file: with a private
// proxy, git over https, and git over SSH. No secret is in what they print, export or leave at the builder.
func TestSlowPrivateModulesByDocker(t *testing.T) {
	p := newPrivateWorld(t)
	addr, registry := testkit.Buildkitd(t, nil), testkit.Registry(t)
	testkit.PushFrontend(t, addr, registry+"/larder:1")
	config := t.TempDir()
	buildx := func(args ...string) {
		cmd := p.ns.Command(t, testkit.Tool(t, "buildx"), args...)
		cmd.Env = append(os.Environ(), "BUILDX_CONFIG="+config, "BUILDX_BUILDER=test", "BUILDX_BAKE_ENTITLEMENTS_FS=0", "BUILDKIT_PROGRESS=plain")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "buildx %s\n%s", strings.Join(args, " "), out)
		requireNoSecret(t, "what buildx prints", out)
	}
	buildx("create", "--name", "test", "--driver", "remote", addr)
	p.write("Dockerfile", "# syntax="+registry+"/larder:1\nFROM go AS build\nGO build -o /out/usr/local/bin/app .\nFROM static\nCOPY --from=build /out/ /\n")

	example := filepath.Join(testkit.Root(t), "examples", "private")
	args := []string{"bake", "-f", filepath.Join(example, "docker-bake.hcl"), "--set", "*.context=" + example,
		"--set", "*.contexts.ghcr.io/larder-build/larder:1=docker-image://" + registry + "/larder:1",
		"--set", "*.args.GOPROXY=https://proxy.acme.example", "--set", "*.args.HTTPS_PROXY=" + p.web.ProxyURL, "--set", "*.args.HTTP_PROXY=" + p.web.ProxyURL,
		"--set", "*.output=type=local,dest=" + filepath.Join(p.state, "example")}
	for i := 1; i < len(p.secrets); i += 2 {
		args = append(args, "--set", "*.secrets="+p.secrets[i])
	}
	buildx(args...)
	require.Equal(t, "this is private\n", testkit.Run(t, filepath.Join(p.state, "example/usr/local/bin/private")))

	git := testkit.ServeGitSSH(t, p.repos)
	bySSH := slices.Concat(p.secrets, p.insteadOf(git), []string{"--secret", p.secret("known_hosts", git.KnownHosts)})
	for name, tt := range map[string]struct {
		secrets []string
		agent   string
	}{
		"https": {p.secrets, ""},
		"ssh":   {bySSH, git.Agent},
	} {
		t.Run(name, func(t *testing.T) {
			args := slices.Concat(p.otherKey("buildx-"+name+".example"), tt.secrets)
			if tt.agent != "" {
				args = append(args, "--ssh", "default="+tt.agent)
			}
			out := t.TempDir()
			buildx(append(append([]string{"build", "--provenance=mode=max", "--output", "type=local,dest=" + filepath.Join(out, "tree"),
				"--cache-to", "type=local,mode=max,dest=" + filepath.Join(out, "cache")}, args...), p.context)...)
			require.Equal(t, "hello, larder private\n", runBinary(t, filepath.Join(out, "tree")))

			file := filepath.Join(t.TempDir(), "docker-bake.hcl")
			require.NoError(t, os.WriteFile(file, []byte(p.bakeFile(p.otherKey("bake-"+name+".example"), tt.secrets, tt.agent, filepath.Join(out, "bake"))), 0o644))
			buildx("bake", "--file", file, "--no-cache")
			require.Equal(t, "hello, larder private\n", runBinary(t, filepath.Join(out, "bake")))
			requireNoSecretIn(t, out)
		})
	}
	require.NotEmpty(t, git.Users(), "the repository came by SSH")
	requireNoSecretIn(t, filepath.Dir(strings.TrimPrefix(addr, "unix://")))
}

// bakeFile is a bake file that says what flags of build say.
func (p *privateWorld) bakeFile(args, secrets []string, agent, dest string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "target \"default\" {\n  context = %q\n  output = [%q]\n  args = {\n", p.context, "type=local,dest="+dest)
	for i := 1; i < len(args); i += 2 {
		name, value, _ := strings.Cut(args[i], "=")
		fmt.Fprintf(&text, "    %s = %q\n", name, value)
	}
	text.WriteString("  }\n  secret = [\n")
	for i := 1; i < len(secrets); i += 2 {
		fmt.Fprintf(&text, "    %q,\n", secrets[i])
	}
	text.WriteString("  ]\n")
	if agent != "" {
		fmt.Fprintf(&text, "  ssh = [%q]\n", "default="+agent)
	}
	text.WriteString("}\n")
	return text.String()
}
