package request

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildctl/build"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/tonistiigi/go-csvvalue"
)

// addSession attaches what the builder may ask the client for while it
// builds: registry credentials, secrets, SSH agents.
func addSession(so *client.SolveOpt, o Options, h Host) error {
	if h.Docker != nil {
		so.Session = append(so.Session, authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
			AuthConfigProvider: authprovider.LoadAuthConfig(h.Docker),
		}))
	}
	secrets, err := withCA(o.Secrets, h.CACerts)
	if err != nil {
		return err
	}
	if len(secrets) > 0 {
		p, err := build.ParseSecret(secrets)
		if err != nil {
			return fmt.Errorf("--secret: %w", err)
		}
		so.Session = append(so.Session, p)
	}
	agents, err := sshAgents(o.SSH)
	if len(o.SSH) == 0 && isGitSSH(o.Context) {
		if agents, err = sshAgents([]string{"default"}); err != nil {
			err = fmt.Errorf("the context %s is fetched by ssh: %w", o.Context, err)
		}
	}
	if err == nil && agents != nil {
		so.Session = append(so.Session, agents)
	}
	return err
}

// Session returns what a builder may ask for while it fetches a context: see addSession.
func Session(o Options, h Host) ([]session.Attachable, error) {
	var so client.SolveOpt
	err := addSession(&so, o, h)
	return so.Session, err
}

// sshAgents returns a provider of the agents and keys of --ssh, or nil if there are none.
func sshAgents(args []string) (session.Attachable, error) {
	agents, err := build.ParseSSH(args)
	if err != nil {
		return nil, fmt.Errorf("--ssh: %w", err)
	}
	for i, agent := range agents {
		if len(agent.Paths) == 0 {
			if err := checkAgent(os.Getenv("SSH_AUTH_SOCK")); err != nil {
				return nil, fmt.Errorf("--ssh %s: %w: start one with 'eval $(ssh-agent)' and 'ssh-add', or name a private key with --ssh %s=FILE", args[i], err, agent.ID)
			}
		}
		if _, err := sshprovider.NewSSHAgentProvider(agents[i : i+1]); err != nil {
			return nil, fmt.Errorf("--ssh %s: %w: expected the socket of an SSH agent, or files of private keys without a passphrase", args[i], innermost(err))
		}
	}
	if len(agents) == 0 {
		return nil, nil
	}
	p, err := sshprovider.NewSSHAgentProvider(agents)
	if err != nil {
		return nil, fmt.Errorf("--ssh: %w", err)
	}
	return p, nil
}

func checkAgent(socket string) error {
	if socket == "" {
		return errors.New("there is no SSH agent, as SSH_AUTH_SOCK isn't set")
	}
	if _, err := os.Stat(socket); err != nil {
		return fmt.Errorf("there is no SSH agent at SSH_AUTH_SOCK=%s", socket)
	}
	return nil
}

// innermost returns the innermost wrapped error. The errors around it show BuildKit's own structures.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// withCA adds the machine's own roots as secret "ca", unless the user gave
// that secret. So the step that fetches modules trusts what the client's
// machine trusts, for example a company's proxy.
func withCA(secrets []string, caCerts string) ([]string, error) {
	for _, s := range secrets {
		fields, err := csvvalue.Fields(s, nil)
		if err != nil {
			return nil, fmt.Errorf("--secret %q: %w", s, err)
		}
		for _, f := range fields {
			if k, v, _ := strings.Cut(f, "="); strings.EqualFold(k, "id") && v == "ca" {
				return secrets, nil
			}
		}
	}
	if caCerts == "" {
		return secrets, nil
	}
	// A secret has a largest size; a root file beyond it is no reason to fail
	// a build that may not need it.
	if fi, err := os.Stat(caCerts); err != nil || fi.Size() > secretsprovider.MaxSecretSize {
		return secrets, nil
	}
	return append([]string{"id=ca," + quoteField("src="+caCerts)}, secrets...), nil
}

func isGitSSH(context string) bool {
	u, err := gitutil.ParseURL(context)
	return err == nil && u.Scheme == gitutil.SSHProtocol
}

// rootFiles are where Linux distributions keep the machine's roots.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// CACertificates returns the file of the roots that this machine trusts:
// override if it is set, else the distribution's; empty if there is none.
func CACertificates(override string) string {
	if override != "" {
		return override
	}
	for _, path := range rootFiles {
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
			return path
		}
	}
	return ""
}
