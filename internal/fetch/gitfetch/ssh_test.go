package gitfetch

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/larder-build/larder/internal/fetch/credentials"
	"github.com/larder-build/larder/internal/testkit"
)

func TestSSH(t *testing.T) {
	c := newCorp(t)
	c.newLib()
	server := testkit.ServeGitSSH(t, c.root)
	addr := server.Addr
	config := func(base string) credentials.Files {
		return credentials.Files{GitConfig: []byte("[url \"" + base + "\"]\n\tinsteadOf = https://" + host + "/\n")}
	}
	over := config("ssh://dev@" + addr + "/")
	good := Options{KnownHosts: []byte(server.KnownHosts), Agent: server.Agent}

	f := c.fetcher(over, good)
	require.NoError(t, c.fetch(f, lib).Err)
	require.Equal(t, []string{"dev", "dev"}, server.Users())
	require.NoError(t, c.fetch(c.fetcher(config("ssh://"+addr+"/"), good), lib).Err)
	require.Equal(t, "git", server.Users()[2])
	require.Empty(t, c.web.Asked())

	for name, tt := range map[string]struct {
		o     Options
		files credentials.Files
		want  string
	}{
		"unknown host": {Options{Agent: server.Agent}, over, "the host key of 127.0.0.1 isn't known (ssh-ed25519 SHA256:"},
		"another key":  {Options{Agent: server.Agent, KnownHosts: []byte(testkit.HostKeyLine(t, addr))}, over, "the host key of 127.0.0.1 is not the one in known_hosts (it is ssh-ed25519 SHA256:"},
		"no agent":     {Options{KnownHosts: good.KnownHosts}, over, "there is no SSH agent to ask 127.0.0.1 with: pass --ssh default"},
		"agent gone":   {Options{KnownHosts: good.KnownHosts, Agent: "/nonexistent"}, over, "asking the SSH agent: "},
		"other agent":  {Options{KnownHosts: good.KnownHosts, Agent: testkit.AgentWithoutKeys(t)}, over, "127.0.0.1 lets in none of the SSH agent's keys as dev: pass one that may read the repository with --ssh default"},
		"bad hosts":    {Options{KnownHosts: []byte("x y z\n"), Agent: server.Agent}, over, "reading the secret known_hosts: "},
		"no such repo": {good, config("ssh://" + addr + "/elsewhere/"), "127.0.0.1 says: fatal: '" + c.root + "/elsewhere/lib' does not appear to be a git repository"},
		"git protocol": {good, config("git://" + addr + "/"), `Larder fetches git repositories by https, http and ssh, not by "git"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.fetch(c.fetcher(tt.files, tt.o), lib)
			require.ErrorContains(t, got.Err, tt.want)
			require.NotContains(t, got.Err.Error(), "\n")
			if strings.Contains(tt.want, "host key") {
				require.ErrorContains(t, got.Err, "--secret id=known_hosts,src=FILE")
			}
		})
	}
}

// A server that goes silent is left, and so is one that the build no longer waits for.
func TestSSHStalls(t *testing.T) {
	c := newCorp(t)
	server := testkit.ServeGitSSH(t, c.root)
	server.Fault = func(channel ssh.Channel) { _, _ = io.Copy(io.Discard, channel) }
	f := c.fetcher(credentials.Files{}, Options{KnownHosts: []byte(server.KnownHosts), Agent: server.Agent})
	to, ok := parseSSH("ssh://" + server.Addr + "/lib")
	require.True(t, ok)
	remote, err := newSSH(f, to)
	require.NoError(t, err)
	remote.stall = 200 * time.Millisecond
	_, err = remote.refs(t.Context())
	require.ErrorContains(t, err, "it sent nothing for 200ms")
	_, err = remote.pack(t.Context(), nil)
	require.ErrorContains(t, err, "it sent nothing for 200ms")
}

func TestParseSSH(t *testing.T) {
	for at, want := range map[string]sshURL{
		"ssh://git@h.example/a/b":        {"git", "h.example", "22", "/a/b"},
		"ssh://h.example:2222/~me/b.git": {"git", "h.example", "2222", "~me/b.git"},
		"git+ssh://u@h.example/b":        {"u", "h.example", "22", "/b"},
		"git@h.example:a/b.git":          {"git", "h.example", "22", "a/b.git"},
		"h.example:/a/b.git":             {"git", "h.example", "22", "/a/b.git"},
		"u@[::1]:a":                      {"u", "::1", "22", "a"},
	} {
		got, ok := parseSSH(at)
		require.True(t, ok, at)
		require.Equal(t, want, got)
	}
	for _, at := range []string{"https://h.example/a", "file:///a", "/a/b", "h.example/a:b", "ssh:///a", ""} {
		_, ok := parseSSH(at)
		require.False(t, ok, at)
	}
}
