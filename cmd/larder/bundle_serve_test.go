package main

import (
	"net"
	"testing"

	"github.com/larder-build/larder/internal/serve"
	"github.com/stretchr/testify/require"
)

// Who serves modules to more than this machine is told, unless there is both a password and TLS.
func TestServeWarning(t *testing.T) {
	everywhere := &net.TCPAddr{IP: net.IPv6zero, Port: 8080}
	for _, tt := range []struct {
		options serve.Options
		addr    net.Addr
		want    string
	}{
		{serve.Options{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, ""},
		{serve.Options{}, &net.TCPAddr{IP: net.IPv6loopback}, ""},
		{serve.Options{}, everywhere, "who reaches [::]:8080 reads the modules: set LARDER_SERVE_PASSWORD"},
		{serve.Options{}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "who reaches 192.0.2.1:0 reads the modules"},
		{serve.Options{CertFile: "x"}, everywhere, "who reaches"},
		{serve.Options{Password: "x"}, everywhere, "a password without TLS"},
		{serve.Options{Token: "x"}, everywhere, "a password without TLS"},
		{serve.Options{Token: "x", CertFile: "x"}, everywhere, ""},
	} {
		got := serveWarning(tt.options, tt.addr)
		require.Equal(t, tt.want == "", got == "", got)
		require.Contains(t, got, tt.want)
	}
}
