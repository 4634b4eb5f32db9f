package builder

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer"
	_ "github.com/moby/buildkit/client/connhelper/kubepod"
	_ "github.com/moby/buildkit/client/connhelper/nerdctlcontainer"
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer"
	_ "github.com/moby/buildkit/client/connhelper/ssh"
)

// Limits for how long a named builder may take to answer. Helpers (docker exec,
// kubectl, ssh) start a program and log in first, so they get longer.
const (
	directLimit = 5 * time.Second
	helperLimit = 20 * time.Second
)

// helpers are the schemes that the connhelper packages above register.
var helpers = []string{"docker-container", "podman-container", "nerdctl-container", "kube-pod", "ssh"}

func isTCP(address string) bool { return strings.HasPrefix(address, "tcp://") }

// connectRemote connects to the BuildKit at o.Address. Its error says which
// address didn't answer, and why.
func connectRemote(ctx context.Context, o Options) (*Builder, error) {
	limit, err := answerLimit(o.Address)
	if err != nil {
		return nil, err
	}
	c, err := client.New(ctx, o.Address, o.TLS.options()...)
	if err != nil {
		return nil, fmt.Errorf("builder %s: %w", o.Address, err)
	}
	version, err := answer(ctx, c, limit)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("builder %s can't be reached: %w; check that BuildKit runs there and that --builder or BUILDKIT_HOST names it", o.Address, err)
	}
	return newBuilder(Remote, o.Address, version, c, nothing), nil
}

func answerLimit(address string) (time.Duration, error) {
	scheme, rest, found := strings.Cut(address, "://")
	switch {
	case !found || rest == "":
		return 0, fmt.Errorf("builder %q isn't an address: write unix:///path/to/buildkitd.sock, tcp://host:port, docker-container://name, or the word docker or embedded", address)
	case scheme == "unix" || scheme == "tcp":
		return directLimit, nil
	case slices.Contains(helpers, scheme):
		return helperLimit, nil
	default:
		return 0, fmt.Errorf("builder %s: unknown scheme %q; known are unix, tcp, %s", address, scheme, strings.Join(helpers, ", "))
	}
}

func (t TLS) options() []client.ClientOpt {
	if !t.set() {
		return nil
	}
	var opts []client.ClientOpt
	if t.CACert != "" {
		opts = append(opts, client.WithServerConfig(t.ServerName, t.CACert))
	} else {
		opts = append(opts, client.WithServerConfigSystem(t.ServerName))
	}
	if t.Cert != "" || t.Key != "" {
		opts = append(opts, client.WithCredentials(t.Cert, t.Key))
	}
	return opts
}
