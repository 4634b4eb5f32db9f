package harm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/fsutil"
)

// Who builds.
const (
	docker = "docker"
	larder = "larder"
)

// An outcome is what came of a build.
type outcome struct {
	err   error
	log   string // what was printed and noted
	image *image
	asked map[string]bool  // the commands that used the network
	execs map[string]*step // by the text of the RUN line
}

// build builds a case in this process, which is the quickest way.
func (s *surroundings) build(t *testing.T, c *testCase, who string) *outcome {
	syntax, function := "docker/dockerfile:1", builder.Build
	if who == larder {
		syntax, function = gateway, frontend.Build
	}
	dir := c.dockerfileFolder(t, syntax)
	ref := "cases/" + c.name + ":" + who
	mark := c.name + "." + who
	opt := client.SolveOpt{
		FrontendAttrs: map[string]string{"filename": c.file, "build-arg:NO_PROXY": mark},
		LocalMounts:   map[string]fsutil.FS{"context": folder(t, c.context), "dockerfile": folder(t, dir)},
		Exports:       []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": registry + "/" + ref, "push": "true", "compression": "uncompressed"}}},
		Session:       []session.Attachable{secretsprovider.FromMap(c.secrets)},
	}
	if c.target != "" {
		opt.FrontendAttrs["target"] = c.target
	}
	for name, value := range c.args {
		opt.FrontendAttrs["build-arg:"+name] = value
	}
	if who == docker {
		opt.FrontendAttrs["cmdline"] = syntax
		// So that each RUN line is run, and shows whether it uses the network, whatever other cases have built.
		opt.FrontendAttrs["no-cache"] = ""
	} else {
		opt.LocalMounts["larder-inbuild"] = folder(t, filepath.Dir(testkit.Larder(t, "larder-frontend")))
		opt.FrontendAttrs["larder-inbuild"] = "larder-frontend"
	}
	r := &recorder{}
	status, logs := make(chan *client.SolveStatus), make(chan string)
	go func() { logs <- collect(status) }()
	_, err := s.bk.Build(t.Context(), opt, "", func(ctx context.Context, c gwclient.Client) (*gwclient.Result, error) {
		return function(ctx, r.wrap(c))
	}, status)
	out := &outcome{err: err, log: <-logs}
	out.execs, err = r.execs()
	require.NoError(t, err)
	s.finish(t, out, mark, ref)
	return out
}

// finish adds to an outcome what the servers know of it.
func (s *surroundings) finish(t *testing.T, out *outcome, mark, ref string) {
	out.asked = s.asked.of(mark)
	if out.err == nil {
		var err error
		out.image, err = s.pull(ref)
		require.NoError(t, err)
	}
}

// collect returns the warnings of a build, and what its steps printed.
func collect(status chan *client.SolveStatus) string {
	var b strings.Builder
	for st := range status {
		for _, w := range st.Warnings {
			fmt.Fprintf(&b, "warning: %s\n", w.Short)
		}
		for _, l := range st.Logs {
			b.Write(l.Data)
		}
	}
	return b.String()
}

// through builds a case by Larder's image, as its users do.
func (s *surroundings) through(t *testing.T, c *testCase, door string) *outcome {
	dir, ref := c.dockerfileFolder(t, gateway), "cases/"+c.name+":"+door
	mark := c.name + "." + door
	output := "type=image,push=true,compression=uncompressed,name=" + registry + "/" + ref
	args := maps.Clone(c.args)
	args["NO_PROXY"] = mark
	var cmd *exec.Cmd
	switch door {
	case "buildx":
		list := []string{"build", "--progress", "plain", "-f", filepath.Join(dir, c.file), "--output", output}
		for name, value := range args {
			list = append(list, "--build-arg", name+"="+value)
		}
		if c.target != "" {
			list = append(list, "--target", c.target)
		}
		cmd = s.buildxCommand(t, append(list, c.context)...)
	case "bake":
		target := map[string]any{"context": c.context, "dockerfile": filepath.Join(dir, c.file), "args": args, "output": []string{output}}
		if c.target != "" {
			target["target"] = c.target
		}
		text, err := json.Marshal(map[string]any{"target": map[string]any{"default": target}})
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "docker-bake.json")
		require.NoError(t, os.WriteFile(file, text, 0o644))
		cmd = s.buildxCommand(t, "bake", "--progress", "plain", "-f", file)
	default:
		t.Fatalf("also: %s: expected buildx or bake", door)
	}
	log, err := cmd.CombinedOutput()
	if err != nil {
		err = errors.New("exit status of " + cmd.String() + ": " + err.Error())
	}
	out := &outcome{err: err, log: string(log)}
	s.finish(t, out, mark, ref)
	return out
}

func (s *surroundings) buildxCommand(t *testing.T, args ...string) *exec.Cmd {
	cmd := s.ns.Command(t, testkit.Tool(t, "buildx"), args...)
	cmd.Env = append(os.Environ(), "BUILDX_CONFIG="+s.buildx, "BUILDX_BUILDER=harm", "BUILDX_BAKE_ENTITLEMENTS_FS=0", "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	return cmd
}

// A recorder notes what a builder is asked to solve.
type recorder struct {
	mu       sync.Mutex
	requests []gwclient.SolveRequest
}

func (r *recorder) wrap(c gwclient.Client) gwclient.Client { return &recorded{c, r} }

type recorded struct {
	gwclient.Client
	to *recorder
}

func (c *recorded) Solve(ctx context.Context, req gwclient.SolveRequest) (*gwclient.Result, error) {
	c.to.mu.Lock()
	c.to.requests = append(c.to.requests, req)
	c.to.mu.Unlock()
	return c.Client.Solve(ctx, req)
}
