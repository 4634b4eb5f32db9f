package stepproxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// start serves a proxy whose handler says what it was asked.
func start(t *testing.T) (p *Proxy, addr string, asked func() []string) {
	var mu sync.Mutex
	var list []string
	p, err := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		list = append(list, r.Method+" "+r.URL.String())
		mu.Unlock()
		fmt.Fprintf(w, "%s %s", r.Method, r.URL)
	}))
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := p.Server(t.Context())
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return p, l.Addr().String(), func() []string { mu.Lock(); defer mu.Unlock(); return append([]string{}, list...) }
}

func client(p *Proxy, addr string) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CA())
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: addr}), TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}}
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(data)
}

// The proxy is each server that is asked, by name or by address.
func TestProxy(t *testing.T) {
	p, addr, _ := start(t)
	c := client(p, addr)
	for _, url := range []string{
		"http://a.example/x?y=1", "http://a.example:8080/", "https://a.example/x?y=1", "https://a.example:8443/", "https://192.0.2.1/", "https://[2001:db8::1]/", "https://[2001:db8::1]:99/",
		"https://a.example/again", "https://xn--bcher-kva.example/",
	} {
		require.Equal(t, "GET "+url, get(t, c, url))
	}
	_, err := (&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: addr})}}).Get("https://a.example/")
	require.ErrorContains(t, err, "certificate", "who doesn't trust it isn't fooled")

	direct, err := http.Get("http://" + addr + "/x")
	require.NoError(t, err)
	require.NoError(t, direct.Body.Close())
	require.Equal(t, http.StatusBadRequest, direct.StatusCode)
}

// Requests through one tunnel, one after the other and without TLS, are parted.
func TestTunnels(t *testing.T) {
	_, addr, _ := start(t)
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	for _, name := range []string{"/1", "/2"} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: another.example\r\n\r\n", name)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "GET http://a.example"+name, string(body), "the server is the one that the tunnel leads to")
	}
}

// What isn't HTTP is told to the handler, and ended.
func TestOtherProtocols(t *testing.T) {
	_, addr, asked := start(t)
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "CONNECT git.example:22 HTTP/1.1\r\nHost: git.example:22\r\n\r\n")
	_, err = http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	require.NoError(t, err)
	fmt.Fprint(conn, "\x00\x01\x02")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.Equal(t, []string{"CONNECT https://git.example:22"}, asked())
}

// A name that no certificate can have, and many names.
func TestManyServers(t *testing.T) {
	p, addr, _ := start(t)
	require.Equal(t, "GET https://"+strings.Repeat("x", 300)+".example/", get(t, client(p, addr), "https://"+strings.Repeat("x", 300)+".example/"))
	for i := range maxCerts + 10 {
		_, err := p.cert(fmt.Sprintf("%d.example", i))
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(p.certs), maxCerts)
}
