package builder

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestStopDoesNotWaitForEver stops a server that has a call which never ends.
func TestStopDoesNotWaitForEver(t *testing.T) {
	called, release := make(chan struct{}), make(chan struct{})
	server := grpc.NewServer(grpc.WaitForHandlers(true), grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		close(called)
		<-release
		return nil
	}))
	defer close(release)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	go server.Serve(l)
	c, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.NewStream(t.Context(), &grpc.StreamDesc{}, "/some/call")
	require.NoError(t, err)
	<-called
	stopServer(server, time.Millisecond)
}
