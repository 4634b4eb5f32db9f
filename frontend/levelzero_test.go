package frontend_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// levelZeroStamps holds that a build without instructions stamps what go build stamps where the repository is, that a new
// commit links anew and compiles nothing, and that the same commit gives the same image.
func levelZeroStamps(g *gateway) {
	const app = "usr/local/bin/app"
	g.context = testkit.Tree(g.t, "-- Dockerfile --\n# syntax="+g.larder+"\n"+
		"-- go.mod --\nmodule example.com/many\n\ngo 1.26\n"+
		"-- generate.go --\npackage main\n\n//go:generate true\n"+
		"-- cmd/app/main.go --\npackage main\n\nimport \"example.com/many/shared\"\n\nfunc main() { println(shared.Name) }\n"+
		"-- cmd/other/main.go --\npackage main\n\nfunc main() {}\n"+
		"-- shared/shared.go --\npackage shared\n\nimport \"fmt\"\n\nvar Name = fmt.Sprint(1)\n")
	repo := testkit.NewRepo(g.t, g.context)
	repo.Commit(nil, "v1.2.0")
	link := "go build ./cmd/app"
	compiled := func(log string) []string { return done(log, `\[[^\]]*\] (go build .*|compile .*)`) }
	target := []string{"--target", "cmd/app/"} // of docker's flags, too, a folder

	desk, log := g.larderBuild(target...)
	require.Contains(g.t, compiled(log), link)
	require.NotContains(g.t, compiled(log), stepDeps, "nothing travels")
	target = append(target, "--build-arg", "LARDER_LAYERS=1")
	root, log := g.larderBuild(target...)
	require.Subset(g.t, compiled(log), []string{stepDeps, "compile what is linked", link})
	require.Equal(g.t, read(g.t, desk, app), read(g.t, root, app))
	host := hostBuild(g, "-ldflags=-s -w", "./cmd/app")
	require.Equal(g.t, "v1.2.0", host.Main.Version)
	require.Equal(g.t, host, buildInfo(g.t, filepath.Join(root, app)))
	require.NoDirExists(g.t, filepath.Join(root, ".git"))

	again, log := g.larderBuild(target...)
	require.Empty(g.t, compiled(log), "nothing is new")
	require.Equal(g.t, read(g.t, root, app), read(g.t, again, app))

	repo.CommitIndex()
	root, log = g.larderBuild(target...)
	require.Equal(g.t, []string{link}, compiled(log), "a new commit links")
	host = hostBuild(g, "-ldflags=-s -w", "./cmd/app")
	require.Equal(g.t, host, buildInfo(g.t, filepath.Join(root, app)))

	root, _ = g.larderBuild(append(target, "--build-arg", "GOFLAGS=-buildvcs=false")...)
	require.Equal(g.t, "(devel)", buildInfo(g.t, filepath.Join(root, app)).Main.Version)

	out := g.t.TempDir()
	g.buildx("build", "--target", "./cmd/app", "--build-arg", "GOPROXY="+g.proxy, "--output", out, g.context)
	require.Contains(g.t, buildInfo(g.t, filepath.Join(out, app)).Settings, debug.BuildSetting{Key: "vcs.revision", Value: repo.Git("rev-parse", "HEAD")})
}

// larder builds by the command, which tells all of the commit, and returns what came of it and the log.
func (g *gateway) larderBuild(args ...string) (root, log string) {
	out := g.t.TempDir()
	cmd := exec.CommandContext(g.t.Context(), testkit.Larder(g.t, "larder"), append([]string{"build", "--builder", g.addr, "--progress=plain", "-o", out}, append(args, g.context)...)...)
	cmd.Env = append(os.Environ(), "GOPROXY="+g.proxy)
	text, err := cmd.CombinedOutput()
	require.NoError(g.t, err, "%s", text)
	return out, string(text)
}

// hostBuild returns what go stamps where the repository is.
func hostBuild(g *gateway, args ...string) *debug.BuildInfo {
	bin := filepath.Join(g.t.TempDir(), "app")
	cmd := exec.CommandContext(g.t.Context(), "go", append([]string{"build", "-trimpath", "-buildvcs", "-o", bin}, args...)...)
	cmd.Dir = g.context
	// A module cache of its own, since go keeps there which version a commit is.
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOPROXY="+g.proxy, "GOMODCACHE="+g.t.TempDir(), "GOSUMDB=off", "GOFLAGS=-modcacherw", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(g.t, err, "%s", out)
	info := buildInfo(g.t, bin)
	info.GoVersion = toolchain // this machine's is another release
	return info
}

func buildInfo(t *testing.T, bin string) *debug.BuildInfo {
	info, err := buildinfo.ReadFile(bin)
	require.NoError(t, err)
	return info
}
