package request

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"
)

func TestSSHErrors(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte("no key\n"), 0o600))
	const expected = ": expected the socket of an SSH agent, or files of private keys without a passphrase"
	for name, c := range map[string]struct {
		socket, context, want string
		ssh                   []string
	}{
		"no agent":        {"", ".", "--ssh default: there is no SSH agent, as SSH_AUTH_SOCK isn't set: start one with 'eval $(ssh-agent)' and 'ssh-add', or name a private key with --ssh default=FILE", []string{"default"}},
		"agent is gone":   {"/nosuch", ".", "--ssh work: there is no SSH agent at SSH_AUTH_SOCK=/nosuch: start one with 'eval $(ssh-agent)' and 'ssh-add', or name a private key with --ssh work=FILE", []string{"work"}},
		"for the context": {"", "ssh://git@git.example/x.git", "the context ssh://git@git.example/x.git is fetched by ssh: --ssh default: there is no SSH agent, as SSH_AUTH_SOCK isn't set: start one with 'eval $(ssh-agent)' and 'ssh-add', or name a private key with --ssh default=FILE", nil},
		"no file":         {"", ".", "--ssh default=/nosuch: no such file or directory" + expected, []string{"default=/nosuch"}},
		"no key":          {"", ".", "--ssh default=" + key + ": ssh: no key found" + expected, []string{"default=" + key}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SSH_AUTH_SOCK", c.socket)
			err := addSession(&client.SolveOpt{}, Options{SSH: c.ssh, Context: c.context}, Host{})
			require.EqualError(t, err, c.want)
		})
	}
}
