package builder

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
)

const (
	defaultDockerHost = "unix:///var/run/docker.sock"
	dockerLimit       = 2 * time.Second // an engine on this machine that runs answers at once
)

// containerdStore is the driver type in a Docker engine's /info if containerd's
// snapshotters keep the images.
const containerdStore = "io.containerd.snapshotter.v1"

// engine speaks to a Docker engine over its unix socket.
type engine struct{ socket string }

// connectDocker connects to the BuildKit of a running Docker engine. The error
// says why it can't be used.
func connectDocker(ctx context.Context, o Options) (*Builder, error) {
	host := o.DockerHost
	if host == "" {
		host = defaultDockerHost
	}
	socket, found := strings.CutPrefix(host, "unix://")
	if !found {
		return nil, fmt.Errorf("Docker engine %s can't be used: only unix:// is supported; name a BuildKit with --builder instead", host)
	}
	e := engine{socket}
	b, err := e.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("Docker engine %s can't be used: %w", host, err)
	}
	b.Address = host
	return b, nil
}

func (e engine) connect(ctx context.Context) (*Builder, error) {
	asking, cancel := context.WithTimeout(ctx, dockerLimit)
	defer cancel()
	store, err := e.containerdStore(asking)
	if err != nil {
		return nil, err
	}
	c, err := client.New(ctx, "passthrough:///docker",
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return e.hijack(ctx, "/grpc", "h2c", nil)
		}),
		client.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return e.hijack(ctx, "/session", proto, meta)
		}))
	if err != nil {
		return nil, err
	}
	version, err := answer(ctx, c, dockerLimit)
	if err != nil {
		c.Close()
		return nil, err
	}
	b := newBuilder(Docker, e.socket, version, c, nothing)
	b.ContainerdStore = store
	return b, nil
}

// containerdStore reports whether the engine keeps images in containerd. The
// request also checks that a Docker engine answers.
func (e engine) containerdStore(ctx context.Context) (bool, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return e.dial(ctx) }}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/info", nil)
	if err != nil {
		return false, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("GET /info: %s", resp.Status)
	}
	var info struct{ DriverStatus [][]string }
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 4<<20)).Decode(&info); err != nil {
		return false, fmt.Errorf("GET /info: %w", err)
	}
	return slices.ContainsFunc(info.DriverStatus, func(row []string) bool {
		return slices.Equal(row, []string{"driver-type", containerdStore})
	}), nil
}

func (e engine) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", e.socket)
}

// hijack sends a request to the engine, and turns it into a raw connection that speaks proto.
func (e engine) hijack(ctx context.Context, path, proto string, header http.Header) (net.Conn, error) {
	conn, err := e.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	hijacked, err := upgrade(conn, path, proto, header)
	if !stop() {
		err = errors.Join(err, context.Cause(ctx))
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("POST %s: %w", path, err)
	}
	return hijacked, nil
}

func upgrade(conn net.Conn, path, proto string, header http.Header) (net.Conn, error) {
	req, err := http.NewRequest(http.MethodPost, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", proto)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	buffered := bufio.NewReader(conn)
	resp, err := http.ReadResponse(buffered, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body.Close()
		return nil, errors.New(resp.Status)
	}
	return bufferedConn{conn, buffered}, nil
}

// bufferedConn is a connection that first reads the bytes which arrived with the response.
type bufferedConn struct {
	net.Conn
	read *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.read.Read(p) }
