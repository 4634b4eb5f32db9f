package builder

import (
	"context"
	"net"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
)

// withSessions makes a client of a BuildKit in this process give its sessions straight to the session manager. BuildKit's
// client would otherwise carry all that a session sends, such as sources and images, inside messages of the connection
// that it controls builds by.
func withSessions(m *session.Manager) client.ClientOpt {
	return client.WithSessionDialer(func(ctx context.Context, _ string, headers map[string][]string) (net.Conn, error) {
		caller, server := net.Pipe()
		go func() {
			defer server.Close()
			_ = m.HandleConn(ctx, server, headers) // its error is that of the session, which the caller sees
		}()
		return caller, nil
	})
}
