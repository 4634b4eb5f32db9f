package builder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/larder-build/larder/internal/step"
	"github.com/larder-build/larder/internal/stepproxy"
	"github.com/moby/buildkit/executor"
	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/util/network"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// caInStep is the path of the certificate of a step's proxy in the step. BuildKit also adds the certificate to the
// root's own list of authorities, but a base may have no list, or a step may make one. The path is in a file system in
// memory, which every step has, so that no layer gets the file. The step's environment names it.
const caInStep = "/dev/larder-ca.pem"

// stepNetwork is BuildKit's proxy network with a proxy that forwards no request: a handler answers. BuildKit's own
// provider can't be used. It reaches the network through the host's, checks servers by the host's authorities, and
// takes an upstream only from the process's environment.
//
// Each step has a network namespace of its own, whose only interface is lo, and there the proxy listens. No name leads to
// the namespace but a file of this process: nothing is left when it is killed.
type stepNetwork struct {
	proxy  *stepproxy.Proxy
	caFile string
}

func newStepNetwork(root string, answers http.Handler) (*stepNetwork, error) {
	p, err := stepproxy.New(answers)
	if err != nil {
		return nil, fmt.Errorf("the network of steps: %w", err)
	}
	file := filepath.Join(root, "step-ca.pem")
	return &stepNetwork{p, file}, os.WriteFile(file, p.CA(), 0o644)
}

// Close implements network.ProxyProvider.
func (n *stepNetwork) Close() error { return nil }

// NewProxy implements network.ProxyProvider.
func (n *stepNetwork) NewProxy(ctx context.Context, c *network.ProxyConfig) (network.ProxyNamespace, error) {
	ns, l, err := listenAlone()
	if err != nil {
		return nil, fmt.Errorf("a network for a step: %w", err)
	}
	s := n.proxy.Server(context.WithValue(context.WithoutCancel(ctx), captureKey{}, c.Capture))
	go func() { _ = s.Serve(l) }()
	return &stepNamespace{n, ns, s, l.Addr()}, nil
}

// listenAlone makes a network namespace that has only the interface lo, and listens there.
func listenAlone() (ns *os.File, l net.Listener, err error) {
	done := make(chan error)
	go func() {
		// Without an unlock the thread ends with the goroutine, and no other one gets into the namespace.
		runtime.LockOSThread()
		done <- func() (err error) {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return os.NewSyscallError("unshare", err)
			}
			if err := loopbackUp(); err != nil {
				return err
			}
			if l, err = new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0"); err != nil {
				return err
			}
			ns, err = os.Open("/proc/thread-self/ns/net")
			return err
		}()
	}()
	if err := <-done; err != nil {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
		return nil, nil, err
	}
	return ns, l, nil
}

// loopbackUp turns lo on in the namespace of this thread. In a new namespace it is down.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return os.NewSyscallError("SIOCSIFFLAGS", unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo))
}

// A stepNamespace is the network of one step.
type stepNamespace struct {
	*stepNetwork
	ns     *os.File
	server *http.Server
	addr   net.Addr
}

// Set implements network.Namespace.
func (n *stepNamespace) Set(s *specs.Spec) error {
	s.Mounts = append(s.Mounts, specs.Mount{Destination: caInStep, Type: "bind", Source: n.caFile, Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}})
	return oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.ns.Fd())})(context.Background(), nil, nil, s)
}

// Close implements network.Namespace.
func (n *stepNamespace) Close() error { return errors.Join(n.server.Close(), n.ns.Close()) }

// Sample implements network.Namespace.
func (n *stepNamespace) Sample() (*resourcestypes.NetworkSample, error) { return nil, nil }

// ProxyEnv implements network.ProxyNamespace.
func (n *stepNamespace) ProxyEnv() []string {
	env := network.ProxyEnv("http://"+n.addr.String(), "127.0.0.1,localhost,::1")
	for _, name := range step.CAVariables {
		env = append(env, name+"="+caInStep)
	}
	return env
}

// ProxyCACert implements network.ProxyNamespace.
func (n *stepNamespace) ProxyCACert() []byte { return n.proxy.CA() }

// stepTeller is an executor that tells a step's network which step it is for.
type stepTeller struct{ executor.Executor }

type stepKey struct{}

// Run implements executor.Executor.
func (t stepTeller) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resourcestypes.Recorder, error) {
	return t.Executor.Run(context.WithValue(ctx, stepKey{}, process.Meta.Args), id, root, mounts, process, started)
}

// StepArgs returns the command of the step that a request to Options.Answers comes from. The context is the request's.
// It returns nil if no step made the request.
func StepArgs(ctx context.Context) []string {
	args, _ := ctx.Value(stepKey{}).([]string)
	return args
}

type captureKey struct{}

// AddMaterial adds a file to the provenance of a build, by its URL and digest. The context is that of a request to
// Options.Answers, whose step got the file.
func AddMaterial(ctx context.Context, url string, d digest.Digest) {
	c, _ := ctx.Value(captureKey{}).(*network.ProxyCapture) // which may be nil
	c.AddMaterial(network.ProxyMaterial{URL: url, Digest: d})
}

// AddRefusal adds to a step's log that a request had no answer. The context is that of the request to Options.Answers.
func AddRefusal(ctx context.Context, method, url string) {
	c, _ := ctx.Value(captureKey{}).(*network.ProxyCapture)
	c.AddRequest(network.ProxyRequest{Method: method, URL: url, StatusCode: http.StatusForbidden})
}
