package gitfetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/fetch"
)

// An sshURL is the address of a repository that is reached by SSH.
type sshURL struct{ user, host, port, path string }

var scpForm = regexp.MustCompile(`^(?:([^@/:]+)@)?([^@/:\[\]]+|\[[0-9a-fA-F:.]+\]):([^/].*|/[^/].*)$`)

// parseSSH reads ssh://[USER@]HOST[:PORT]/PATH and [USER@]HOST:PATH. The user is git, if none is named.
func parseSSH(at string) (sshURL, bool) {
	to := sshURL{user: "git", port: "22"}
	if scheme, _, ok := strings.Cut(at, "://"); ok {
		u, err := url.Parse(at)
		if err != nil || scheme != "ssh" && scheme != "git+ssh" && scheme != "ssh+git" || u.Hostname() == "" {
			return sshURL{}, false
		}
		to.host, to.path = u.Hostname(), u.Path
		if u.Port() != "" {
			to.port = u.Port()
		}
		if u.User.Username() != "" {
			to.user = u.User.Username()
		}
		if strings.HasPrefix(to.path, "/~") {
			to.path = to.path[1:]
		}
		return to, true
	}
	match := scpForm.FindStringSubmatch(at)
	if match == nil {
		return sshURL{}, false
	}
	if match[1] != "" {
		to.user = match[1]
	}
	to.host, to.path = strings.Trim(match[2], "[]"), match[3]
	return to, true
}

// sshRemote runs git-upload-pack on a server whose key is known, with the user's keys in an agent.
type sshRemote struct {
	to    sshURL
	addr  string
	agent string
	hosts *knownhosts.HostKeyDB
	stall time.Duration // longest silence of the server
}

const sshStall = 60 * time.Second

const passHosts = "--secret id=known_hosts,src=FILE"

func newSSH(f *Fetcher, to sshURL) (*sshRemote, error) {
	if f.Agent == "" {
		return nil, fmt.Errorf("there is no SSH agent to ask %s with: pass --ssh default", to.host)
	}
	file := filepath.Join(f.Dir, "known_hosts") // its parser reads files alone
	if err := atomicfile.Write(file, f.KnownHosts); err != nil {
		return nil, err
	}
	hosts, err := knownhosts.NewDB(file)
	if err != nil {
		text := strings.ReplaceAll(strings.ReplaceAll(err.Error(), "knownhosts: ", ""), file+":", "line ")
		return nil, fmt.Errorf("reading the secret known_hosts: %s", text)
	}
	return &sshRemote{to: to, addr: net.JoinHostPort(to.host, to.port), agent: f.Agent, hosts: hosts, stall: sshStall}, nil
}

func (s *sshRemote) refs(ctx context.Context) (*packp.AdvRefs, error) {
	session, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	adv, err := readRefs(session)
	if err != nil {
		return nil, session.explain(err)
	}
	_, _ = session.stdin.Write(pktline.FlushPkt) // nothing is wanted: a server that is gone is none the worse
	return adv, nil
}

func (s *sshRemote) pack(ctx context.Context, request []byte) (closer, error) {
	session, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := readRefs(session); err == nil { // again: each connection begins with them
		_, err = session.stdin.Write(request)
		if err == nil {
			return session, nil
		}
	}
	return nil, errors.Join(session.explain(err), session.Close())
}

// open connects, and starts git-upload-pack.
func (s *sshRemote) open(ctx context.Context) (*sshSession, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	session := &sshSession{ctx: ctx, cancel: cancel, host: s.to.host, stall: s.stall}
	session.watch = time.AfterFunc(s.stall, func() {
		cancel(fetch.Silence(s.stall))
	})
	if err := s.connect(ctx, session); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, errors.Join(err, session.Close())
	}
	return session, nil
}

func (s *sshRemote) connect(ctx context.Context, session *sshSession) error {
	keys, err := (&net.Dialer{}).DialContext(ctx, "unix", s.agent)
	if err != nil {
		return fmt.Errorf("asking the SSH agent: %w: pass --ssh default", err)
	}
	session.closers = append(session.closers, keys)
	conn, err := (&net.Dialer{Timeout: 15 * time.Second}).DialContext(ctx, "tcp", s.addr)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return err
	case err != nil:
		return &fetch.TemporaryError{Err: err}
	}
	session.closers = append(session.closers, conn)
	context.AfterFunc(ctx, func() { conn.Close() })
	var hostKey error
	check := s.hosts.HostKeyCallback()
	client, channels, requests, err := ssh.NewClientConn(conn, s.addr, &ssh.ClientConfig{
		User:              s.to.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeysCallback(agent.NewClient(keys).Signers)},
		HostKeyAlgorithms: s.hosts.HostKeyAlgorithms(s.addr),
		HostKeyCallback: func(name string, remote net.Addr, key ssh.PublicKey) error {
			hostKey = s.hostKeyError(check(name, remote, key), key)
			return hostKey
		},
	})
	switch {
	case hostKey != nil:
		return hostKey
	case err != nil && strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("%s lets in none of the SSH agent's keys as %s: pass one that may read the repository with --ssh default", s.to.host, s.to.user)
	case err != nil && strings.Contains(err.Error(), "no common algorithm for host key"):
		return fmt.Errorf("the host key of %s is not the one in known_hosts (it has none of that kind): compare it with what its owner publishes, and pass it with %s", s.to.host, passHosts)
	case err != nil:
		return &fetch.TemporaryError{Err: fetch.OneLine(err)}
	}
	return session.start(ssh.NewClient(client, channels, requests), s.to.path)
}

// hostKeyError returns an error that says what is wrong with a server's key.
func (s *sshRemote) hostKeyError(err error, key ssh.PublicKey) error {
	switch {
	case err == nil:
		return nil
	case knownhosts.IsHostUnknown(err):
		return fmt.Errorf("the host key of %s isn't known (%s %s): compare it with what its owner publishes, and pass it with %s", s.to.host, key.Type(), ssh.FingerprintSHA256(key), passHosts)
	case knownhosts.IsHostKeyChanged(err):
		return fmt.Errorf("the host key of %s is not the one in known_hosts (it is %s %s): somebody may be in between, or it was changed; if its owner says so, pass the new one with %s", s.to.host, key.Type(), ssh.FingerprintSHA256(key), passHosts)
	}
	return fmt.Errorf("checking the host key of %s: %w", s.to.host, fetch.OneLine(err))
}

// An sshSession is a running git-upload-pack. Reads return its output.
type sshSession struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	host    string
	stall   time.Duration
	watch   *time.Timer
	closers []io.Closer // the last is closed first
	stdin   io.WriteCloser
	stdout  io.Reader
	stderr  bytes.Buffer
	ended   chan struct{} // closed when stderr is whole
}

func (s *sshSession) start(client *ssh.Client, path string) error {
	s.closers = append(s.closers, client)
	session, err := client.NewSession()
	if err != nil {
		return s.explain(err)
	}
	errs, err1 := session.StderrPipe()
	var err2, err3 error
	s.stdin, err2 = session.StdinPipe()
	s.stdout, err3 = session.StdoutPipe()
	if err := errors.Join(err1, err2, err3, session.Start(service+" "+shellQuote(path))); err != nil {
		return s.explain(err)
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		_, _ = io.CopyN(&s.stderr, errs, 4096)
		_, _ = io.Copy(io.Discard, errs)
	}()
	return nil
}

// shellQuote quotes a text as git does, so that servers without a shell read the same text.
func shellQuote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

func (s *sshSession) Read(p []byte) (int, error) {
	n, err := s.stdout.Read(p)
	if n > 0 {
		s.watch.Reset(s.stall)
	}
	return n, err
}

// Close closes the connection, which ends everything that uses it.
func (s *sshSession) Close() error {
	s.watch.Stop()
	s.cancel(nil)
	for i := len(s.closers) - 1; i >= 0; i-- {
		_ = s.closers[i].Close() // all was read, or doesn't count
	}
	if s.ended != nil {
		<-s.ended
	}
	return nil
}

// explain returns an error with the server's error output as the reason.
func (s *sshSession) explain(err error) error {
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	if s.ended != nil && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		select {
		case <-s.ended:
		case <-s.ctx.Done():
		}
		if said := strings.TrimSpace(s.stderr.String()); said != "" {
			return fmt.Errorf("%s says: %w", s.host, fetch.OneLine(errors.New(said)))
		}
	}
	return broken(err)
}
