package main

import (
	"archive/zip"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// An identity is what a user's home folder and environment have of credentials.
type identity struct {
	netrc, gitconfig string
	env              []string
}

// as has the world's commands come from a user. The go command asks the private servers, and git does.
func (p *privateWorld) as(who identity) {
	home := testkit.Home(p.t)
	for name, text := range map[string]string{".netrc": who.netrc, ".gitconfig": who.gitconfig} {
		require.NoError(p.t, os.WriteFile(filepath.Join(home, name), []byte(text), 0o600))
	}
	p.env = append([]string{"HOME=" + home, "GOPROXY=https://proxy.acme.example", "GOPRIVATE=*.acme.example",
		"HTTPS_PROXY=" + p.web.ProxyURL, "GOFLAGS=-modcacherw", "GIT_TERMINAL_PROMPT=0"}, who.env...)
}

// newStockWorld is a private world whose proxy takes a user and password, and that has a module whose path only leads to
// its repository. It returns the beginning of a command that makes a bundle of it: the toolchain is at hand.
func newStockWorld(t *testing.T) (p *privateWorld, create []string) {
	p = newPrivateWorld(t)
	p.web.Handle("proxy.acme.example", testkit.Guarded(testkit.NewProxy(p.proxy), testkit.Basic("ci", proxyToken)))
	files := map[string]string{"led.go": "package led\n", "go.mod": "module go.acme.example/led\n"}
	testkit.NewRepo(t, filepath.Join(p.repos, "team", "led.git")).Commit(files, "v1.0.0")
	p.web.Handle("go.acme.example", testkit.GoGet(map[string]string{"go.acme.example/led": "go.acme.example/led git https://git.acme.example/team/led.git"}, http.NotFoundHandler()))
	sums, err := os.ReadFile(filepath.Join(p.context, "go.sum"))
	require.NoError(t, err)
	p.write("go.sum", string(sums)+testkit.Module{Path: "go.acme.example/led", Version: "v1.0.0", Files: files}.Write(t, t.TempDir()))
	dir := t.TempDir()
	ca, atHand := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "hand", "golang.org")
	require.NoError(t, os.WriteFile(ca, p.web.CA, 0o644))
	require.NoError(t, os.MkdirAll(atHand, 0o755))
	require.NoError(t, os.Symlink(filepath.Join(p.proxy, "golang.org", "toolchain"), filepath.Join(atHand, "toolchain")))
	return p, []string{"bundle", "create", "--no-images", "--ca", ca, "--from", filepath.Dir(atHand), p.context, "-o"}
}

const (
	proxyNetrc = "machine proxy.acme.example login ci password " + proxyToken + "\n"
	gitNetrc   = "machine git.acme.example login robot password " + gitToken + "\n"
)

// bySSH returns who comes by SSH with the keys of an agent, and trusts a server.
func bySSH(t *testing.T, server *testkit.GitSSH, agent, knownHosts string) identity {
	file := filepath.Join(t.TempDir(), "known_hosts")
	require.NoError(t, os.WriteFile(file, []byte(knownHosts), 0o644))
	return identity{
		netrc:     proxyNetrc,
		gitconfig: "[url \"ssh://git@" + server.Addr + "/\"]\n\tinsteadOf = https://git.acme.example/\n",
		env:       []string{"SSH_AUTH_SOCK=" + agent, "GIT_SSH_COMMAND=ssh -o BatchMode=yes -o UserKnownHostsFile=" + file},
	}
}

// A bundle is made of a proxy and of git, which want credentials, by each way that these can be given. None is in it, nor
// in what is said.
func TestBundlePrivate(t *testing.T) {
	p, create := newStockWorld(t)
	server := testkit.ServeGitSSH(t, p.repos)
	for name, who := range map[string]identity{
		"netrc": {netrc: proxyNetrc + gitNetrc},
		"SSH":   bySSH(t, server, server.Agent, server.KnownHosts),
		"a header": {netrc: proxyNetrc,
			gitconfig: "[http \"https://git.acme.example/\"]\n\textraHeader = Authorization: " + testkit.Basic("robot", gitToken) + "\n"},
		"URLs": {gitconfig: "[url \"https://robot:" + gitToken + "@git.acme.example/\"]\n\tinsteadOf = https://git.acme.example/\n",
			env: []string{"GOPROXY=https://ci:" + proxyToken + "@proxy.acme.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.as(who)
			dir := filepath.Join(t.TempDir(), "stock")
			out := p.larder(append(create, dir)...)
			require.Contains(t, out, "5 modules, 0 go.mod files, 1 toolchains")
			requireNoSecret(t, "the log", []byte(out))
			requireNoSecretIn(t, dir)
			requireNoSecretInModules(t, dir)
			require.Contains(t, p.larder("bundle", "verify", "--go-sum", filepath.Join(p.context, "go.sum"), dir), "5 modules")
			requireNoSecret(t, "its bill", []byte(p.larder("bundle", "inspect", "--format", "spdx", dir)))
		})
	}
	require.NotEmpty(t, server.Users(), "the repository came by SSH")
}

// requireNoSecretInModules looks for the secrets in what the zips of a bundle's modules hold.
func requireNoSecretInModules(t *testing.T, dir string) {
	b, err := bundle.Open(t.Context(), dir, bundle.Trust{})
	require.NoError(t, err)
	view, err := b.View(t.Context(), bundle.ModulesName)
	require.NoError(t, err)
	defer view.Close()
	zips := 0
	for _, name := range view.Names() {
		if path.Ext(name) != ".zip" {
			continue
		}
		zips++
		f, err := view.Open(name)
		require.NoError(t, err)
		info, err := f.Stat()
		require.NoError(t, err)
		z, err := zip.NewReader(f.(io.ReaderAt), info.Size())
		require.NoError(t, err)
		for _, file := range z.File {
			data, err := fs.ReadFile(z, file.Name)
			require.NoError(t, err)
			requireNoSecret(t, file.Name, data)
		}
	}
	require.Equal(t, 5, zips)
}

// What is said of credentials that are missing or wrong names the module and the host, and never what was given.
func TestBundlePrivateRefused(t *testing.T) {
	p, create := newStockWorld(t)
	server := testkit.ServeGitSSH(t, p.repos)
	const wrong = "wr0ng-t0ken"
	header := testkit.Basic("robot", wrong)
	git := []string{
		"git.acme.example/team/lib.git@v1.2.3: fetching it from version control: no secure protocol found for repository: 'git ls-remote https://git.acme.example/team/lib.git' says why",
		"go.acme.example/led@v1.0.0: ",
		"https://git.acme.example",
	}
	for name, tt := range map[string]struct {
		who  identity
		want []string
	}{
		"nothing for the proxy":     {identity{netrc: gitNetrc}, []string{"a.example/greet@v1.2.0: ", "no credentials were given for proxy.acme.example: write them into "}},
		"a wrong one for the proxy": {identity{netrc: "machine proxy.acme.example login ci password " + wrong + "\n" + gitNetrc}, []string{"a.example/greet@v1.2.0: ", "proxy.acme.example refuses the credentials"}},
		"a wrong URL of the proxy": {identity{netrc: gitNetrc, env: []string{"GOPROXY=https://ci:" + wrong + "@proxy.acme.example"}},
			[]string{"a.example/greet@v1.2.0: ", "proxy.acme.example", "check the user and password in GOPROXY"}},
		"a netrc that isn't one": {identity{netrc: proxyNetrc + "machine git.acme.example login robot password\n"}, []string{".netrc, line 2"}},
		"nothing for git":        {identity{netrc: proxyNetrc}, git},
		"a wrong token for git":  {identity{netrc: proxyNetrc + "machine git.acme.example login robot password " + wrong + "\n"}, git},
		"a wrong header for git": {identity{netrc: proxyNetrc, gitconfig: "[http \"https://git.acme.example/\"]\n\textraHeader = Authorization: " + header + "\n"}, git},
		"a wrong URL of git": {identity{netrc: proxyNetrc, gitconfig: "[url \"https://robot:" + wrong + "@git.acme.example/\"]\n\tinsteadOf = https://git.acme.example/\n"},
			append(git, "remote: not with Basic xxxxx\n")},
		"another key for git": {bySSH(t, server, testkit.AgentWithoutKeys(t), server.KnownHosts), append(git[:2:2], "git@127.0.0.1: Permission denied")},
		"another host key":    {bySSH(t, server, server.Agent, testkit.HostKeyLine(t, server.Addr)), append(git[:2:2], "Host key verification failed")},
	} {
		t.Run(name, func(t *testing.T) {
			p.as(tt.who)
			out := p.fails(append(create, filepath.Join(t.TempDir(), "stock"))...)
			for _, want := range tt.want {
				require.Contains(t, out, want)
			}
			require.NotContains(t, out, wrong)
			for _, user := range []string{"robot", "ci"} {
				require.NotContains(t, out, strings.TrimPrefix(testkit.Basic(user, wrong), "Basic "))
			}
			requireNoSecret(t, "the log", []byte(out))
		})
	}
	t.Run("a wrong URL of the proxy for a tool", func(t *testing.T) {
		p.as(identity{env: []string{"GOPROXY=https://ci:" + wrong + "@proxy.acme.example"}})
		out := p.fails(append(create, filepath.Join(t.TempDir(), "stock"), "--tool", "a.example/greet@v1.2.0")...)
		require.Contains(t, out, "--tool a.example/greet@v1.2.0: ")
		require.Contains(t, out, "https://ci:xxxxx@proxy.acme.example/a.example/greet/@v/v1.2.0.info: 401 Unauthorized\n\tserver response: not with Basic xxxxx")
		require.NotContains(t, out, wrong)
	})
}
