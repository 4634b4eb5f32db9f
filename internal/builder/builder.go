// Package builder finds a BuildKit, or starts one.
//
// It exists so that `larder build` needs no daemon: a BuildKit that the user
// named comes first, then a running Docker engine, and where there is neither,
// BuildKit itself runs inside this process, with runc or crun to run the steps
// and its state in the user's data folder. What comes back is BuildKit's own
// client in every case, so the rest of Larder doesn't know the difference.
package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kinds of builder, for Builder.Kind.
const (
	Remote   = "remote"   // a BuildKit that was named by address
	Docker   = "docker"   // the BuildKit inside a Docker engine
	Embedded = "embedded" // a BuildKit that runs in this or another larder process
)

// Options say which builder is wanted. With the zero value, Connect looks for one.
type Options struct {
	// Address of a BuildKit (unix://, tcp://, docker-container://,
	// podman-container://, nerdctl-container://, kube-pod://, ssh://), or one
	// of the words "docker" and "embedded" to insist on that kind. Empty means:
	// a running Docker engine, else embedded.
	Address string
	// TLS applies to tcp:// addresses.
	TLS TLS
	// DockerHost is the Docker engine's address as in DOCKER_HOST; empty means
	// unix:///var/run/docker.sock.
	DockerHost string
	// StateDir holds the embedded builder's state; empty means DefaultStateDir.
	StateDir string
	// Notice receives one line for each thing that a user should know while it
	// happens, such as waiting for another build. Nil discards.
	Notice io.Writer
	// Log receives the embedded BuildKit's warnings. Nil discards.
	Log io.Writer
	// Answers is the only server that steps can reach in builds that ask for a proxy network
	// (client.SolveOpt.ProxyNetwork). All their requests over HTTP and HTTPS go to this handler, with whole URLs, and
	// StepArgs tells which step sent one. Only an embedded builder that runs in this process can have it: Connect waits
	// until no other process uses the state folder.
	Answers http.Handler
}

// TLS names the files that secure a tcp:// connection. The zero value means no
// TLS. Without CACert, the system's roots are trusted.
type TLS struct {
	CACert, Cert, Key, ServerName string
}

func (t TLS) set() bool { return t != TLS{} }

// A Builder is a client of a BuildKit that has answered.
type Builder struct {
	*client.Client
	// Kind is Remote, Docker or Embedded.
	Kind string
	// Address is where it was found; for Embedded, its state folder.
	Address string
	// Version is BuildKit's version. It is empty if BuildKit is too old to tell.
	Version string
	// ContainerdStore reports whether a Docker engine keeps its images in
	// containerd's store. Without it the engine can't export OCI layouts,
	// attestations or several platforms at once.
	ContainerdStore bool

	close func() error
}

// Close ends the connection. If an embedded builder runs in this process, Close
// waits for other larder processes that build on it, and then stops it. It
// leaves no mount and no container. Calling it again does nothing.
func (b *Builder) Close() error { return b.close() }

// Connect finds or starts a BuildKit, and checks that it answers. The context
// bounds only the search. Close stops what Connect started.
func Connect(ctx context.Context, o Options) (*Builder, error) {
	if o.TLS.set() && !isTCP(o.Address) {
		return nil, fmt.Errorf("TLS files were given, but TLS is for tcp:// builders and the builder is %q", o.Address)
	}
	if o.Answers != nil && o.Address != Embedded {
		return nil, fmt.Errorf("only the embedded builder can answer in the place of a network, and the builder is %q", o.Address)
	}
	switch o.Address {
	case "":
		b, dockerErr := connectDocker(ctx, o)
		if dockerErr == nil {
			return b, nil
		}
		return connectEmbedded(ctx, o, dockerErr)
	case Docker:
		return connectDocker(ctx, o)
	case Embedded:
		return connectEmbedded(ctx, o, nil)
	default:
		return connectRemote(ctx, o)
	}
}

// newBuilder makes a Builder of a client. Closing it closes the client first and calls then; it does so once.
func newBuilder(kind, address, version string, c *client.Client, then func() error) *Builder {
	return &Builder{
		Client: c, Kind: kind, Address: address, Version: version,
		close: sync.OnceValue(func() error { return errors.Join(c.Close(), then()) }),
	}
}

// answer asks a BuildKit for its version. That shows that it runs: a client
// alone connects only when it is first used.
func answer(ctx context.Context, c *client.Client, limit time.Duration) (version string, err error) {
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	info, err := c.ControlClient().Info(asking, &controlapi.InfoRequest{})
	switch code := status.Code(err); {
	case err == nil:
		return info.GetBuildkitVersion().GetVersion(), nil
	case code == codes.Unimplemented: // BuildKit before v0.11
		return "", nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case asking.Err() != nil:
		return "", fmt.Errorf("no answer within %v", limit)
	default:
		return "", errors.New(status.Convert(err).Message())
	}
}

func nothing() error { return nil }

// notify writes one line to Options.Notice, if that is set.
func (o Options) notify(format string, args ...any) {
	if o.Notice != nil {
		fmt.Fprintf(o.Notice, format+"\n", args...)
	}
}
