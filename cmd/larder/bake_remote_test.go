package main

import (
	"archive/tar"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// remoteHCL has targets on the whole repository, on folders of it, and on a folder of the machine that bake runs on.
const remoteHCL = `
group "default" { targets = ["whole", "part"] }
target "_common" {
  args   = { SOURCE_DATE_EPOCH = "0" }
}
target "whole" {
  inherits = ["_common"]
  output   = ["type=oci,rewrite-timestamp=true,dest=whole.tar"]
}
target "part" {
  inherits = ["_common"]
  context  = "svc"
  contexts = { shared = "lib/shared" }
  output   = ["type=oci,rewrite-timestamp=true,dest=part.tar"]
}
target "here" {
  inherits          = ["_common"]
  context           = BAKE_CMD_CONTEXT
  dockerfile-inline = "FROM scratch\nCOPY local.txt /\n"
  output            = ["type=oci,rewrite-timestamp=true,dest=here.tar"]
}
`

// remotePlaces serves a repository that asks for a token, and files.
func remotePlaces(t *testing.T, token string) (repo, files string) {
	root := t.TempDir()
	r := testkit.NewRepo(t, filepath.Join(root, "shop.git"))
	r.Write(map[string]string{
		"docker-bake.hcl":   remoteHCL,
		"other.hcl":         "target \"default\" {\n  output = [\"type=local,dest=other\"]\n}\n",
		"Dockerfile":        "FROM scratch\nCOPY lib /lib\n",
		"svc/Dockerfile":    "FROM scratch\nCOPY --from=shared . /\nCOPY . /svc\n",
		"svc/svc.txt":       "service\n",
		"lib/shared/s.txt":  "shared\n",
		"evil/write.hcl":    "target \"default\" { output = [\"type=oci,dest=/larder-evil.tar\"] }\n",
		"evil/read.hcl":     "target \"default\" { context = \"cwd:///etc\" }\n",
		"evil/secret.hcl":   "target \"default\" { secret = [\"id=x,src=/etc/hostname\"] }\n",
		"evil/large.hcl":    strings.Repeat("# nothing\n", 300_000),
		"evil/archived.hcl": "target \"default\" { context = \"svc\" }\n",
	})
	r.Git("add", "-A")
	r.Git("commit", "-q", "-m", "one")
	git := testkit.GitHandler(t, root)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, given, ok := req.BasicAuth(); !ok || given != token {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		git.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	archive(t, filepath.Join(dir, "shop.tar.gz"), r.Dir)
	long := "# " + strings.Repeat("a comment that is long ", 100) + "\n" // more than what is looked at to tell an archive
	require.NoError(t, os.WriteFile(filepath.Join(dir, "one.hcl"), []byte(long+strings.ReplaceAll(remoteHCL, "BAKE_CMD_CONTEXT", `"."`)), 0o644))
	plain := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(plain.Close)
	return server.URL + "/shop.git", plain.URL
}

// archive packs the files of a working tree.
func archive(t *testing.T, name, dir string) {
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	zw := gzip.NewWriter(f)
	tw := tar.NewWriter(zw)
	require.NoError(t, tw.AddFS(os.DirFS(dir)))
	require.NoError(t, tw.Close())
	require.NoError(t, zw.Close())
}

// A definition at a URL is what it is to docker buildx bake: its contexts are there, to the byte.
func TestBakeRemote(t *testing.T) {
	b := newBaker(t)
	b.write("docker-bake.hcl", "")
	b.write("Dockerfile", "") // with it, bake refuses a context here of a definition there
	b.write("local.txt", "local\n")
	repo, files := remotePlaces(t, "secret-token")
	token := "BUILDX_BAKE_GIT_AUTH_TOKEN=secret-token"
	larder := func(args ...string) (string, error) {
		return b.run(exec.CommandContext(t.Context(), testkit.Larder(t, "larder"), append([]string{"bake", "--builder", b.addr}, args...)...), token)
	}
	digests := func(names ...string) map[string]string {
		all := map[string]string{}
		for _, name := range names {
			all[name] = digestOf(t, filepath.Join(b.context, name+".tar"))
			require.NoError(t, os.Remove(filepath.Join(b.context, name+".tar")))
		}
		return all
	}
	out, err := larder(repo, "whole", "part", "here")
	require.NoError(t, err, "%s", out)
	require.NotContains(t, out, "secret-token")
	ours := digests("whole", "part", "here")

	buildx, config := testkit.Tool(t, "buildx"), []string{"BUILDX_CONFIG=" + t.TempDir(), "BUILDX_BUILDER=bake", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", token}
	out, err = b.run(exec.CommandContext(t.Context(), buildx, "create", "--name", "bake", "--driver", "remote", b.addr), config...)
	require.NoError(t, err, "%s", out)
	out, err = b.run(exec.CommandContext(t.Context(), buildx, "bake", repo, "whole", "part", "here"), config...)
	require.NoError(t, err, "%s", out)
	require.Equal(t, digests("whole", "part", "here"), ours)

	out, err = larder(files+"/shop.tar.gz", "whole")
	require.NoError(t, err, "%s", out)
	require.Equal(t, ours["whole"], digests("whole")["whole"], "the same from an archive")
	out, err = larder(files+"/one.hcl", "here")
	require.NoError(t, err, "%s", out)
	require.Equal(t, ours["here"], digests("here")["here"], "the contexts of a definition in one file are here")
	out, err = larder(repo, "-f", "other.hcl", "--print")
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, `"context": "`+repo+`"`)
	out, err = larder(repo, "--list", "targets")
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, "whole")
}

// A definition from elsewhere reaches nothing of this machine beyond the working directory, and what can't be read is one
// error.
func TestBakeRemoteFails(t *testing.T) {
	b := newBaker(t)
	repo, files := remotePlaces(t, "secret-token")
	token := "BUILDX_BAKE_GIT_AUTH_TOKEN=secret-token"
	for name, c := range map[string]struct {
		args []string
		env  string
		want string
	}{
		"no token":            {[]string{repo}, "NONE=", "the definition at " + repo + ": "},
		"another token":       {[]string{repo}, "BUILDX_BAKE_GIT_AUTH_TOKEN=wrong", "the definition at " + repo + ": "},
		"writes beyond":       {[]string{repo, "-f", "evil/write.hcl"}, token, "--allow=fs.write=/"},
		"reads beyond":        {[]string{repo, "-f", "evil/read.hcl"}, token, "--allow=fs.read=/etc"},
		"a secret beyond":     {[]string{repo, "-f", "evil/secret.hcl"}, token, "--allow=fs.read=/etc/hostname"},
		"too large":           {[]string{repo, "-f", "evil/large.hcl"}, token, "evil/large.hcl has more than 2097152 bytes"},
		"no such file":        {[]string{repo, "-f", "none.hcl"}, token, "none.hcl"},
		"no definition there": {[]string{repo + "#:svc"}, token, "there is no bake definition at "},
		"a folder in a tar":   {[]string{files + "/shop.tar.gz", "-f", "evil/archived.hcl"}, token, "target default: its context is a folder in an archive"},
		"not found":           {[]string{files + "/none.tar"}, token, "the definition at " + files + "/none.tar: "},
		"since":               {[]string{repo, "--since", "HEAD"}, token, "expected a definition in a working tree"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := b.run(exec.CommandContext(t.Context(), testkit.Larder(t, "larder"), append([]string{"bake", "--builder", b.addr}, c.args...)...), c.env)
			require.Error(t, err, "%s", out)
			require.Contains(t, out, c.want)
			require.NotContains(t, out, "secret-token")
			require.NoFileExists(t, "/larder-evil.tar")
		})
	}
}
