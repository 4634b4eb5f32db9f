package harm

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/moby/buildkit/client"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

const (
	registry = "127.0.0.1:5000"
	proxy    = "http://127.0.0.1/modules" // what go.env of the toolchain in the stand-ins says, too
	gateway  = registry + "/larder:1"
)

// The registries that Dockerfiles name. One registry is the mirror of all.
var mirrored = []string{"docker.io", "gcr.io", "ghcr.io", "quay.io"}

// The surroundings of the builds: a BuildKit, a registry with the stand-ins, a module proxy, and a server of packages,
// repositories and files, in a network namespace that has no more than these.
type surroundings struct {
	addr   string
	bk     *client.Client
	ns     *testkit.Netns
	http   *http.Client // reaches the registry
	asked  askers
	layers sync.Map // of images, by digest
	buildx string   // the folder of buildx's settings
}

func newSurroundings(t *testing.T) *surroundings {
	s := &surroundings{ns: testkit.Offline(t), buildx: t.TempDir()}
	s.ns.Registry(t, registry)
	s.http = &http.Client{Transport: &http.Transport{DialContext: s.dial}}
	t.Cleanup(s.http.CloseIdleConnections)
	s.serve(t)
	s.addr = testkit.Buildkitd(t, s.ns, "--config", mirrors(t))
	var err error
	s.bk, err = client.New(t.Context(), s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { s.bk.Close() })
	s.pushStandIns(t)
	testkit.PushFrontend(t, s.addr, gateway)
	cmd := s.buildxCommand(t, "create", "--name", "harm", "--driver", "remote", s.addr)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return s
}

func (s *surroundings) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	outer := s.ns.Do(func() { conn, err = new(net.Dialer).DialContext(ctx, network, addr) })
	if outer != nil {
		err = outer
	}
	return conn, err
}

func mirrors(t *testing.T) string {
	var b strings.Builder
	for _, host := range mirrored {
		b.WriteString("[registry.\"" + host + "\"]\nmirrors = [\"" + registry + "\"]\n")
	}
	b.WriteString("[registry.\"" + registry + "\"]\nhttp = true\n")
	name := filepath.Join(t.TempDir(), "buildkitd.toml")
	require.NoError(t, os.WriteFile(name, []byte(b.String()), 0o644))
	return name
}

// serve answers the RUN lines of the corpus, and Larder's steps, on the namespace's port 80.
func (s *surroundings) serve(t *testing.T) {
	modules, repos := t.TempDir(), t.TempDir()
	writeModules(t, modules)
	writeRepos(t, repos)
	mux := http.NewServeMux()
	mux.Handle("/modules/", http.StripPrefix("/modules", testkit.NewProxy(modules)))
	mux.Handle("/packages/", http.StripPrefix("/packages", http.FileServer(http.Dir("testdata/packages"))))
	mux.Handle("/git/{repo}/archive.tar", archives(repos))
	mux.Handle("/git/", http.StripPrefix("/git", testkit.GitHandler(t, repos)))
	s.asked.ns = s.ns
	srv := &http.Server{Handler: s.asked.noting(mux)}
	var l net.Listener
	var err error
	require.NoError(t, s.ns.Do(func() { l, err = net.Listen("tcp", "127.0.0.1:80") }))
	require.NoError(t, err)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
}

// folders returns the files of an archive by the part of their names that has no slash after it yet: cut says where.
func folders(t *testing.T, name string, cut func(string) int) map[string]map[string]string {
	a, err := txtar.ParseFile(name)
	require.NoError(t, err)
	all := map[string]map[string]string{}
	for _, f := range a.Files {
		i := cut(f.Name)
		if all[f.Name[:i]] == nil {
			all[f.Name[:i]] = map[string]string{}
		}
		all[f.Name[:i]][f.Name[i+1:]] = string(f.Data)
	}
	return all
}

func writeModules(t *testing.T, dir string) {
	for name, files := range folders(t, "testdata/modules.txtar", func(s string) int {
		at := strings.Index(s, "@")
		return at + strings.Index(s[at:], "/")
	}) {
		module, version, _ := strings.Cut(name, "@")
		testkit.Module{Path: module, Version: version, Files: files}.Write(t, dir)
		list, err := os.OpenFile(filepath.Join(dir, module, "@v", "list"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		require.NoError(t, err)
		_, err = list.WriteString(version + "\n")
		require.NoError(t, err)
		require.NoError(t, list.Close())
	}
}

func writeRepos(t *testing.T, dir string) {
	for name, files := range folders(t, "testdata/repos.txtar", func(s string) int { return strings.Index(s, "/") }) {
		testkit.NewRepo(t, filepath.Join(dir, name+".git")).Commit(files, "v1.2.0")
	}
}

// archives serves the files of a repository, which the stand-in of git asks for.
func archives(dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cmd := exec.CommandContext(r.Context(), "git", "-c", "safe.directory=*", "-C", filepath.Join(dir, path.Base(r.PathValue("repo"))), "archive", "HEAD")
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.Output()
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(out)
	})
}
