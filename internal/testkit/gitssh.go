package testkit

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// A GitSSH serves the repositories below a folder by SSH on loopback. It lets in clients that have the key of its
// agent.
type GitSSH struct {
	Addr       string // HOST:PORT
	KnownHosts string // the line of a known_hosts file
	Agent      string // socket of an SSH agent that has the key that it lets in

	root   string
	config *ssh.ServerConfig

	mu    sync.Mutex
	users []string
	Fault func(ssh.Channel) // answers instead of git, if it is set before the first connection
}

// ServeGitSSH serves the repositories below the folder root.
func ServeGitSSH(t testing.TB, root string) *GitSSH {
	s := &GitSSH{root: root}
	allowed, socket := serveAgent(t)
	s.Agent = socket
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(allowed.Marshal()) {
			return nil, fmt.Errorf("not this key")
		}
		return nil, nil
	}}
	hostKey := newKey(t)
	s.config.AddHostKey(hostKey)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.Addr = l.Addr().String()
	s.KnownHosts = knownhosts.Line([]string{s.Addr}, hostKey.PublicKey()) + "\n"
	s.accept(t, l)
	return s
}

// AgentWithoutKeys serves an SSH agent whose only key no server accepts, and returns its socket.
func AgentWithoutKeys(t testing.TB) string {
	_, socket := serveAgent(t)
	return socket
}

// HostKeyLine returns a line of a known_hosts file with a wrong key for an address.
func HostKeyLine(t testing.TB, addr string) string {
	return knownhosts.Line([]string{addr}, newKey(t).PublicKey()) + "\n"
}

// Users returns the names of the users that logged in.
func (s *GitSSH) Users() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.users...)
}

func newKey(t testing.TB) ssh.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	return signer
}

// serveAgent serves an SSH agent with one key, and returns the public key and the agent's socket.
func serveAgent(t testing.TB) (ssh.PublicKey, string) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	ring := agent.NewKeyring()
	require.NoError(t, ring.Add(agent.AddedKey{PrivateKey: key}))
	signers, err := ring.Signers()
	require.NoError(t, err)
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = agent.ServeAgent(ring, conn)
			}()
		}
	}()
	return signers[0].PublicKey(), socket
}

// accept serves connections until the test ends.
func (s *GitSSH) accept(t testing.TB, l net.Listener) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			wg.Go(func() {
				s.serve(conn)
				conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

func (s *GitSSH) serve(conn net.Conn) {
	server, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.users = append(s.users, server.User())
	s.mu.Unlock()
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests)
	}
}

// session runs the command of a client, which must be git-upload-pack.
func (s *GitSSH) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		var line struct{ Command string }
		path, ok := "", false
		if ssh.Unmarshal(r.Payload, &line) == nil {
			path, ok = strings.CutPrefix(line.Command, "git-upload-pack '")
		}
		path = strings.TrimSuffix(path, "'")
		status := uint32(1)
		switch {
		case s.Fault != nil:
			s.Fault(channel)
		case !ok || strings.Contains(path, ".."):
			fmt.Fprintln(channel.Stderr(), "only git-upload-pack is served here")
		default:
			status = s.uploadPack(channel, path)
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

func (s *GitSSH) uploadPack(channel ssh.Channel, path string) uint32 {
	cmd := exec.Command("git", "upload-pack", filepath.Join(s.root, filepath.FromSlash(path)))
	cmd.Env = []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME=/nonexistent", "PATH=/usr/local/bin:/usr/bin:/bin"}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(stdin, channel)
		stdin.Close()
	}()
	if cmd.Wait() != nil {
		return 1
	}
	return 0
}
