package builder

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/fsutil"
)

// start connects to an embedded builder on state and closes it after the test.
func start(t *testing.T, state string) *Builder {
	t.Helper()
	testkit.NeedContainers(t)
	b, err := Connect(t.Context(), Options{Address: Embedded, StateDir: state})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// stateDir returns a path that is longer than a unix address and needs care.
func stateDir(t *testing.T) string {
	return filepath.Join(t.TempDir(), "a state [folder]*", strings.Repeat("long", 30))
}

// stepFS holds the program of testdata/step as /step.
var stepFS = sync.OnceValues(func() (fsutil.FS, error) {
	dir, err := filepath.Abs("../../.cache/builder-test/step")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "./testdata/step")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return fsutil.NewFS(dir)
})

// stepState is the state after running the step program with args.
func stepState(args ...string) llb.State {
	return llb.Scratch().File(llb.Mkfile("/made", 0o600, []byte("by mkfile"))).
		Run(llb.Args(append([]string{"/bin/step"}, args...)), llb.Network(llb.NetModeNone),
			llb.AddMount("/bin", llb.Local("step"), llb.Readonly)).Root()
}

// solve builds s on b into a folder, and returns the folder and how many
// vertices were cached. onLog gets what the steps print.
func solve(ctx context.Context, t *testing.T, b *Builder, s llb.State, onLog func([]byte)) (dir string, cached int, err error) {
	t.Helper()
	return solveWith(ctx, t, b, s, onLog, client.SolveOpt{})
}

// solveWith is solve with more options, those of what comes in and out excepted.
func solveWith(ctx context.Context, t *testing.T, b *Builder, s llb.State, onLog func([]byte), opt client.SolveOpt) (dir string, cached int, err error) {
	t.Helper()
	def, err := s.Marshal(ctx)
	require.NoError(t, err)
	program, err := stepFS()
	require.NoError(t, err)
	dir = t.TempDir()
	status := make(chan *client.SolveStatus)
	seen := make(chan int)
	go func() {
		n := map[string]bool{}
		for st := range status {
			for _, v := range st.Vertexes {
				if v.Cached {
					n[v.Digest.String()] = true
				}
			}
			for _, l := range st.Logs {
				if onLog != nil {
					onLog(l.Data)
				}
			}
		}
		seen <- len(n)
	}()
	opt.LocalMounts = map[string]fsutil.FS{"step": program}
	opt.Exports = []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: dir}}
	_, err = b.Solve(ctx, def, opt, status)
	return dir, <-seen, err
}

// checkBuild builds the step that writes text and checks what comes out.
func checkBuild(t *testing.T, b *Builder, text string) (cached int) {
	t.Helper()
	dir, cached, err := solve(t.Context(), t, b, stepState("write", "/out", text), nil)
	require.NoError(t, err)
	out, err := os.ReadFile(filepath.Join(dir, "out"))
	require.NoError(t, err)
	require.Equal(t, text, string(out))
	return cached
}

// checkNothingLeft fails if the state folder has a mount or a container.
func checkNothingLeft(t *testing.T, state string) {
	t.Helper()
	left := leftovers{state: state}
	mounts, err := left.mounts()
	require.NoError(t, err)
	require.Empty(t, mounts)
	containers, err := left.containers()
	require.NoError(t, err)
	require.Empty(t, containers)
	table, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	require.NotContains(t, string(table), filepath.Base(state))
}

// notices is a Notice that tests can wait on.
type notices struct {
	mu   sync.Mutex
	text bytes.Buffer
	came chan struct{}
}

func newNotices() *notices { return &notices{came: make(chan struct{}, 1)} }

func (n *notices) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case n.came <- struct{}{}:
	default:
	}
	return n.text.Write(p)
}

func (n *notices) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}
