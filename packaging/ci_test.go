package packaging

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An action is what the tests read of action.yml.
type action struct {
	Inputs map[string]struct {
		Description, Default string
		Required             bool
	}
	Runs struct {
		Steps []struct {
			Env map[string]string
			Run string
		}
	}
}

// setup runs the action's shell as GitHub does, with inputs, and returns what it printed and the folder that it put into the
// PATH.
func setup(t *testing.T, inputs map[string]string) (output, path string, err error) {
	var a action
	read(t, "action.yml", &a)
	require.Len(t, a.Runs.Steps, 1)
	temp := t.TempDir()
	env := append(os.Environ(), "RUNNER_TEMP="+temp, "GITHUB_PATH="+filepath.Join(temp, "path"), "no_proxy=127.0.0.1")
	for name, expression := range a.Runs.Steps[0].Env {
		input := strings.TrimSuffix(strings.TrimPrefix(expression, "${{ inputs."), " }}")
		require.Contains(t, a.Inputs, input)
		require.NotEmpty(t, a.Inputs[input].Description)
		value, given := inputs[input]
		if !given {
			value = a.Inputs[input].Default
		}
		env = append(env, name+"="+value)
	}
	script := filepath.Join(temp, "script.sh")
	require.NoError(t, os.WriteFile(script, []byte(a.Runs.Steps[0].Run), 0o600))
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	added, _ := os.ReadFile(filepath.Join(temp, "path"))
	return string(out), strings.TrimSpace(string(added)), err
}

// archive makes an archive of a release, whose larder is a script.
func archive(t *testing.T, version string) (name string, data []byte) {
	folder := "larder_" + strings.TrimPrefix(version, "v") + "_linux_" + runtime.GOARCH
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	tw := tar.NewWriter(zw)
	const larder = "#!/bin/sh\necho this is larder\n"
	require.NoError(t, tw.WriteHeader(&tar.Header{Name: folder + "/larder", Mode: 0o755, Size: int64(len(larder))}))
	_, err := tw.Write([]byte(larder))
	require.NoError(t, err)
	require.NoError(t, tw.Close())
	require.NoError(t, zw.Close())
	return folder + ".tar.gz", packed.Bytes()
}

// TestAction runs the shell of action.yml, and wants it to put into the PATH only what has the checksum.
func TestAction(t *testing.T) {
	name, data := archive(t, "v1.2.3")
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	files := map[string]string{
		"/v1.2.3/" + name:    string(data),
		"/v1.2.3/SHA256SUMS": sum + "  " + name + "\n",
	}
	serve := func(t *testing.T, changes map[string]string) map[string]string {
		files := maps.Clone(files)
		maps.Copy(files, changes)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, ok := files[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write([]byte(text))
		}))
		t.Cleanup(server.Close)
		return map[string]string{"version": "v1.2.3", "url": server.URL}
	}
	wrong := strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		served, inputs map[string]string
		fails          string
	}{
		"by SHA256SUMS":       {},
		"by the given sum":    {served: map[string]string{"/v1.2.3/SHA256SUMS": ""}, inputs: map[string]string{"sha256": sum}},
		"another archive":     {served: map[string]string{"/v1.2.3/" + name: "something else"}, fails: "isn't what its SHA-256 says"},
		"another given sum":   {inputs: map[string]string{"sha256": wrong}, fails: "isn't what its SHA-256 says"},
		"not in SHA256SUMS":   {served: map[string]string{"/v1.2.3/SHA256SUMS": sum + "  larder.tar.gz\n"}, fails: "isn't what its SHA-256 says"},
		"not released":        {inputs: map[string]string{"version": "v1.2.4"}, fails: "404"},
		"no version":          {inputs: map[string]string{"version": "latest"}, fails: "expected vX.Y.Z"},
		"a path as a version": {inputs: map[string]string{"version": "v1.2.3/../x"}, fails: "expected vX.Y.Z"},
	} {
		t.Run(name, func(t *testing.T) {
			inputs := serve(t, test.served)
			maps.Copy(inputs, test.inputs)
			output, path, err := setup(t, inputs)
			if test.fails != "" {
				require.Error(t, err)
				require.Contains(t, output, test.fails)
				require.Empty(t, path)
				return
			}
			require.NoError(t, err, output)
			require.Contains(t, output, "this is larder")
			require.FileExists(t, filepath.Join(path, "larder"))
		})
	}
}

// component returns the shell of the job in templates/larder.yml, as GitLab makes it of inputs.
func component(t *testing.T, inputs map[string]string) string {
	var header struct {
		Spec struct {
			Inputs map[string]struct{ Default, Description string }
		}
	}
	jobs := map[string]struct {
		Stage, Image string
		Script       []string
	}{}
	read(t, "templates/larder.yml", &header, &jobs)
	job := jobs["$[[ inputs.job ]]"]
	require.NotEmpty(t, job.Script)
	script := strings.Join(job.Script, "\n")
	for name, input := range header.Spec.Inputs {
		require.NotEmpty(t, input.Description)
		value, given := inputs[name]
		if !given {
			value = input.Default
		}
		script = strings.ReplaceAll(script, "$[[ inputs."+name+" ]]", value)
	}
	require.NotContains(t, script, "$[[", "an input that isn't there")
	return script
}

// TestComponent runs the job of the GitLab component by the shell of an image like Alpine, with a larder that tells how it
// was called, and wants that to be given docker's logins outside of the folder that is built.
func TestComponent(t *testing.T) {
	dir := t.TempDir()
	const larder = "#!/bin/sh\npwd\nprintf '<%s>' \"$@\"\ncat \"$DOCKER_CONFIG/config.json\"\nls -A\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "larder"), []byte(larder), 0o755))
	project := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "busybox", "sh", "-ec", component(t, map[string]string{"flags": "--progress plain", "context": "services/a b"}))
	cmd.Dir = project
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "TMPDIR="+t.TempDir(),
		"CI_REGISTRY=registry.example.com", "CI_REGISTRY_IMAGE=registry.example.com/app", "CI_COMMIT_SHORT_SHA=abc",
		"CI_REGISTRY_USER=job", "CI_REGISTRY_PASSWORD="+strings.Repeat("secret", 20))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	login := `{"auths":{"registry.example.com":{"auth":"am9iOnNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldHNlY3JldA=="}}}`
	require.Equal(t, project+"\n<build><--push><--tag><registry.example.com/app:abc><--progress><plain><services/a b>"+login, string(out))
}
