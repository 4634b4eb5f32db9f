package builder

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
)

// echo answers with what was asked, and by which step.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s by %s", r.Method, r.URL, strings.Join(StepArgs(r.Context())[:2], " "))
})

func answered(t *testing.T, state string, answers http.Handler) *Builder {
	t.Helper()
	testkit.NeedContainers(t)
	b, err := Connect(t.Context(), Options{Address: Embedded, StateDir: state, Answers: answers})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func askingStep(mode pb.NetMode, args ...string) llb.State {
	return llb.Scratch().File(llb.Mkfile("/made", 0o600, nil)).
		Run(llb.Args(append([]string{"/bin/step"}, args...)), llb.Network(mode), llb.AddMount("/bin", llb.Local("step"), llb.Readonly)).Root()
}

// A step's requests, those over TLS too, reach the handler, also from a root without a list of authorities, and nothing
// of that is left in its layer.
func TestAnswers(t *testing.T) {
	state := stateDir(t)
	b := answered(t, state, echo)
	var said bytes.Buffer
	dir, err := solveAnswered(t, b, askingStep(llb.NetModeSandbox, "get", "http://a.example/x?y=1", "https://b.example:8443/z", "https://b.example/"), &said)
	require.NoError(t, err, said.String())
	require.Equal(t, "200 GET http://a.example/x?y=1 by /bin/step get\n200 GET https://b.example:8443/z by /bin/step get\n200 GET https://b.example/ by /bin/step get\n", said.String())
	var left []string
	require.NoError(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if !d.IsDir() {
			left = append(left, strings.TrimPrefix(name, dir))
		}
		return err
	}))
	require.Equal(t, []string{"/made"}, left)
	require.NoError(t, b.Close())
	checkNothingLeft(t, state)
}

// Whoever doesn't ask the proxy reaches nothing.
func TestAnswersAndNothingElse(t *testing.T) {
	b := answered(t, stateDir(t), echo)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for _, addr := range []string{l.Addr().String(), "192.0.2.1:80"} {
		var said bytes.Buffer
		_, err = solveAnswered(t, b, askingStep(llb.NetModeSandbox, "dial", addr), &said)
		require.ErrorContains(t, err, "exit code: 1")
		require.Regexp(t, "connection refused|network is unreachable", said.String())
	}
	// A build that doesn't ask for it has the network of the builder, and one without a network has none.
	_, _, err = solve(t.Context(), t, b, askingStep(llb.NetModeSandbox, "dial", l.Addr().String()), nil)
	require.NoError(t, err)
	_, err = solveAnswered(t, b, askingStep(llb.NetModeNone, "get", "http://a.example/"), &bytes.Buffer{})
	require.ErrorContains(t, err, "exit code: 1")
}

func solveAnswered(t *testing.T, b *Builder, s llb.State, said *bytes.Buffer) (string, error) {
	t.Helper()
	dir, _, err := solveWith(t.Context(), t, b, s, func(p []byte) { said.Write(p) }, client.SolveOpt{ProxyNetwork: true})
	return dir, err
}

// One that answers never joins another's builder, whose steps reach the network.
func TestAnswersOfItsOwn(t *testing.T) {
	state, told := stateDir(t), newNotices()
	other := start(t, state)
	closed := make(chan error, 1)
	go func() { <-told.came; closed <- other.Close() }()
	b, err := Connect(t.Context(), Options{Address: Embedded, StateDir: state, Answers: echo, Notice: told})
	require.NoError(t, err)
	require.NoError(t, <-closed)
	require.NoError(t, b.Close())
}

func TestAnswersNeedTheEmbedded(t *testing.T) {
	for _, addr := range []string{"", Docker, "tcp://127.0.0.1:1"} {
		_, err := Connect(t.Context(), Options{Address: addr, Answers: echo})
		require.ErrorContains(t, err, "only the embedded builder can answer")
	}
}
