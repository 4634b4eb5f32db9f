package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Secrets of the private world: none may be found in anything that a build leaves.
const (
	gitToken   = "s3cret-git-t0ken"
	proxyToken = "s3cret-proxy-t0ken"
	gateWord   = "s3cret-gate-w0rd" // of an HTTP proxy
)

// A privateWorld is a module that requires one from a private proxy, one from a private git server and one that a fork on
// that server replaces, behind a network with a certificate authority of its own.
type privateWorld struct {
	*world
	web     *testkit.Web
	repos   string
	secrets []string // flags that pass all that is needed
	args    []string // build arguments
}

func newPrivateWorld(t *testing.T) *privateWorld {
	w := newWorld(t)
	p := &privateWorld{world: w, web: testkit.ServeWeb(t), repos: t.TempDir()}
	p.web.Handle("proxy.acme.example", testkit.Guarded(testkit.NewProxy(w.proxy), testkit.Bearer(proxyToken)))
	p.web.Handle("git.acme.example", testkit.Guarded(testkit.GitHandler(t, p.repos), testkit.Basic("robot", gitToken)))
	sums := p.repo("lib.git", "v1.2.3", map[string]string{"lib.go": "package lib\n\nconst Private = \"private\"\n", "go.mod": "module git.acme.example/team/lib.git\n"})
	sums += p.repo("fork.git", "v1.0.1", map[string]string{"fork.go": "package fork\n\nconst Forked = \"private\"\n", "go.mod": "module upstream.example/fork\n"})
	w.replace("go.mod", "go 1.26\n", "go 1.26\n\nrequire (\n\tgit.acme.example/team/lib.git v1.2.3\n\tupstream.example/fork v1.0.0\n)\n\nreplace upstream.example/fork => git.acme.example/team/fork.git v1.0.1\n")
	w.replace("go.sum", "a.example/greet v1.2.0 ", sums+"a.example/greet v1.2.0 ")
	w.write("main.go", strings.NewReplacer(`"a.example/greet"`, "\"a.example/greet\"\n\t\"git.acme.example/team/lib.git\"\n\t\"upstream.example/fork\"",
		"name.Name)", "name.Name), map[string]string{fork.Forked: lib.Private}[\"private\"]").Replace(mainGo))

	w.env = nil
	p.args = []string{
		"--build-arg", "GOPROXY=https://proxy.acme.example", "--build-arg", "GOPRIVATE=git.acme.example",
		"--build-arg", "HTTPS_PROXY=" + p.web.ProxyURL, "--build-arg", "HTTP_PROXY=" + p.web.ProxyURL,
		"--build-arg", "BUILDKIT_CACHE_MOUNT_NS=private", // other tests have modules of the same names from a proxy without a guard
	}
	p.secrets = []string{
		"--secret", p.secret("ca", string(p.web.CA)),
		"--secret", p.secret("netrc", "machine git.acme.example login robot password "+gitToken+"\n"),
		"--secret", p.secret("goauth", "https://proxy.acme.example\n\nAuthorization: Bearer "+proxyToken+"\n\n"),
	}
	return p
}

// repo puts a module on the git server, and returns its lines of go.sum.
func (p *privateWorld) repo(name, version string, files map[string]string) (sums string) {
	testkit.NewRepo(p.t, filepath.Join(p.repos, "team", name)).Commit(files, version)
	return testkit.Module{Path: "git.acme.example/team/" + name, Version: version, Files: files}.Write(p.t, p.t.TempDir())
}

// secret writes a secret and returns the value of the flag that passes it.
func (p *privateWorld) secret(id, text string) string {
	file := filepath.Join(p.t.TempDir(), id)
	require.NoError(p.t, os.WriteFile(file, []byte(text), 0o600))
	return "id=" + id + ",src=" + file
}

// insteadOf returns flags by which the git server is asked by SSH.
func (p *privateWorld) insteadOf(server *testkit.GitSSH) []string {
	return []string{"--secret", p.secret("gitconfig", "[url \"ssh://git@"+server.Addr+"/\"]\n\tinsteadOf = https://git.acme.example/\n")}
}

// otherKey returns build arguments by which modules are fetched once more, as no credentials do.
func (p *privateWorld) otherKey(pattern string) []string {
	return append(slices.Clone(p.args), "--build-arg", "GOPRIVATE=git.acme.example,"+pattern)
}

// requireNoSecret looks for the secrets in a text or in all files of a folder.
func requireNoSecret(t *testing.T, what string, data []byte) {
	t.Helper()
	encoded := func(user, token string) string { return strings.TrimPrefix(testkit.Basic(user, token), "Basic ") }
	for _, secret := range []string{gitToken, proxyToken, gateWord, encoded("robot", gitToken), encoded("ci", proxyToken), encoded("gate", gateWord), url.QueryEscape(gitToken)} {
		require.False(t, bytes.Contains(data, []byte(secret)), "%s has a secret", what)
	}
}

func requireNoSecretIn(t *testing.T, dir string) {
	t.Helper()
	eachFile(t, dir, func(name string, data []byte) { requireNoSecret(t, name, data) })
}

// eachFile shows all files of a folder, and those that are compressed once more as what is in them.
func eachFile(t *testing.T, dir string, show func(name string, data []byte)) {
	t.Helper()
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		show(name, data)
		if r, gzerr := gzip.NewReader(bytes.NewReader(data)); gzerr == nil { // a layer
			data, err = io.ReadAll(r)
			show(name, data)
		}
		files++
		return err
	}))
	require.NotZero(t, files)
}

// A module from a private proxy and one from a private git server are built at each level of the dialect, with provenance
// and an exported cache, and no secret is in what is left.
func TestPrivateModules(t *testing.T) {
	p := newPrivateWorld(t)
	for name, file := range map[string]string{
		"no instructions": "# syntax=ghcr.io/larder-build/larder:1\n",
		"GO":              "# syntax=ghcr.io/larder-build/larder:1\nFROM go AS build\nGO build -o /out/usr/local/bin/app .\nFROM static\nCOPY --from=build /out/ /\n",
		"RUN":             "# syntax=ghcr.io/larder-build/larder:1\nFROM go AS build\nWORKDIR /work\nCOPY . .\nRUN --mount=type=secret,id=netrc,target=/root/.netrc [\"go\", \"mod\", \"download\"]\nRUN [\"go\", \"build\", \"-o\", \"/out/usr/local/bin/app\", \".\"]\nFROM static\nCOPY --from=build /out/ /\n",
	} {
		t.Run(name, func(t *testing.T) {
			p.write("Dockerfile", file)
			out := t.TempDir()
			args := append([]string{"-o", "type=local,dest=" + filepath.Join(out, "tree"), "--attest", "type=provenance,mode=max",
				"--cache-to", "type=local,mode=max,compression=uncompressed,dest=" + filepath.Join(out, "cache")}, append(p.args, p.secrets...)...)
			text, err := p.build(args...)
			require.NoError(t, err, "%s", text)
			requireNoSecret(t, "the log", []byte(text))
			require.Equal(t, "hello, larder private\n", runBinary(t, filepath.Join(out, "tree")))
			requireNoSecretIn(t, out)
			plan, err := p.command(append([]string{"plan", "--json"}, append(p.args, p.context)...)...).CombinedOutput()
			require.NoError(t, err, "%s", plan)
			requireNoSecret(t, "the plan", plan)
		})
	}
	requireNoSecretIn(t, p.state)
	for _, asked := range p.web.Asked() {
		require.NotContains(t, asked.URL, "proxy.acme.example/git.acme.example", "the proxy is told of a private module")
		if auth := asked.Header.Get("Authorization"); strings.Contains(asked.URL, "git.acme.example") {
			require.NotContains(t, auth, proxyToken)
		} else {
			require.NotContains(t, auth, testkit.Basic("robot", gitToken))
		}
	}
}

// The same repository by SSH, which a gitconfig names in the place of https, and all that may be wrong with it.
func TestPrivateModulesBySSH(t *testing.T) {
	p := newPrivateWorld(t)
	server := testkit.ServeGitSSH(t, p.repos)
	base := append(p.insteadOf(server), p.secrets...)
	hosts := []string{"--secret", p.secret("known_hosts", server.KnownHosts)}
	require.Equal(t, "hello, larder private\n", runBinary(t, p.local(slices.Concat([]string{"--ssh", "default=" + server.Agent}, hosts, base, p.otherKey("ssh.example"))...)))
	require.NotEmpty(t, server.Users())

	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no agent":         {hosts, "--ssh default"},
		"another key":      {append([]string{"--ssh", "default=" + testkit.AgentWithoutKeys(t)}, hosts...), "key"},
		"unknown host":     {[]string{"--ssh", "default=" + server.Agent}, " isn't known ("},
		"another host key": {[]string{"--ssh", "default=" + server.Agent, "--secret", p.secret("known_hosts", testkit.HostKeyLine(t, server.Addr))}, " is not the one in known_hosts ("},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := p.build(slices.Concat(tt.args, base, p.otherKey(strings.ReplaceAll(name, " ", "-")+".example"))...)
			require.Error(t, err)
			require.Contains(t, out, "git.acme.example/team/lib.git@v1.2.3: ")
			require.Contains(t, out, tt.want)
		})
	}
}

// What is said of credentials that are missing or wrong names the module and the host, and never the token.
func TestPrivateModulesRefused(t *testing.T) {
	p := newPrivateWorld(t)
	base := append([]string{"--secret", p.secret("ca", string(p.web.CA))}, p.otherKey("refused.example")...)
	proxy := []string{"--secret", p.secret("goauth", "https://proxy.acme.example\n\nAuthorization: Bearer "+proxyToken+"\n\n")}
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"nothing for the proxy":     {nil, []string{"proxy.acme.example", "--secret id=netrc"}},
		"nothing for git":           {proxy, []string{"git.acme.example/team/lib.git@v1.2.3: ", "no credentials were given for git.acme.example", "--secret id=netrc"}},
		"a wrong token for git":     {append([]string{"--secret", p.secret("netrc", "machine git.acme.example login robot password wr0ng-t0ken\n")}, proxy...), []string{"git.acme.example/team/lib.git@v1.2.3: ", "git.acme.example refuses the credentials"}},
		"a netrc that isn't one":    {append([]string{"--secret", p.secret("netrc", "machine git.acme.example login robot password\n")}, proxy...), []string{"secret netrc, line 1"}},
		"a wrong one for the proxy": {[]string{"--secret", p.secret("netrc", "machine proxy.acme.example login robot password wr0ng-t0ken\n")}, []string{"proxy.acme.example refuses the credentials"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := p.build(append(tt.args, base...)...)
			require.Error(t, err)
			for _, want := range tt.want {
				require.Contains(t, out, want)
			}
			require.NotContains(t, out, "wr0ng-t0ken")
			requireNoSecret(t, "the log", []byte(out))
		})
	}
}
