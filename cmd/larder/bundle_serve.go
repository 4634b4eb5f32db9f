package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/bundle/goproxy"
	"github.com/larder-build/larder/internal/bundle/serve"
	"github.com/larder-build/larder/internal/cli/display"
	"github.com/spf13/cobra"
)

// grace bounds how long requests may take to end when the server is stopped.
const grace = 30 * time.Second

// lookEvery is the time between two looks at a served bundle for changes.
const lookEvery = time.Second

func (c *command) bundleServe() *cobra.Command {
	var f trustFlags
	var listen string
	var replayed replayServer
	var progress string
	o := serve.Options{Grace: grace}
	cmd := &cobra.Command{
		Use:   "serve [OPTIONS] BUNDLE...",
		Short: "Serve bundles as a module proxy",
		Long: "Serve bundles as a module proxy, with what they have of the checksum database: desks set\n" +
			"GOPROXY to its address and nothing else. Of several bundles that have a file the one that\n" +
			"was written last wins. A bundle that changes is read again, and so it is on SIGHUP. The\n" +
			"password or token comes from LARDER_SERVE_PASSWORD or LARDER_SERVE_TOKEN.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("'%s' requires at least 1 argument\n\n%s", cmd.CommandPath(), hint(cmd))
			}
			for name, word := range map[string]*string{"LARDER_SERVE_PASSWORD": &o.Password, "LARDER_SERVE_TOKEN": &o.Token} {
				value, set := c.env[name]
				if set && value == "" {
					return fmt.Errorf("%s is set, and empty: give a password, or unset it to serve everybody", name)
				}
				*word = value
			}
			t, err := c.trust(f)
			if err != nil {
				return err
			}
			d, err := c.display(progress)
			if err != nil {
				return err
			}
			defer d.Close()
			if replayed.on {
				if o.CertFile+o.KeyFile+o.User+o.Password+o.Token != "" {
					return usageError{errors.New("--replay is served without TLS and without a password, as builders ask for it: leave them out")}
				}
				return c.serveReplay(replayed, listen, servedBundles{dirs: args, trust: t})
			}
			o.ErrorLog, o.Answered = d, func(a serve.Answer) { tellAnswer(d, a) }
			return c.runServe(o, listen, servedBundles{dirs: args, trust: t})
		},
		Example:               `  larder bundle serve --listen 127.0.0.1:8080 bundle`,
		DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	f.register(flags)
	flags.StringVar(&listen, "listen", "127.0.0.1:8080", "Address to listen at")
	flags.BoolVar(&replayed.on, "replay", false, "Serve what 'larder bundle create --record' has recorded, and not modules, to builders that aren't larder's own")
	flags.StringVar(&replayed.caFile, "replay-ca", "", "File to write the certificate authority of --replay to, which such a builder has to trust")
	flags.StringVar(&o.CertFile, "tls-cert", "", "PEM file of the certificate, for HTTPS")
	flags.StringVar(&o.KeyFile, "tls-key", "", "PEM file of the certificate's key")
	progressFlag(cmd, &progress)
	flags.StringVar(&o.User, "user", "", "Name of the user that the password is for (default: any)")
	return cmd
}

// tellAnswer shows a request that was answered: what isn't there by its name, and all others as a number.
func tellAnswer(d *display.Display, a serve.Answer) {
	d.Done(a.Path, a.Bytes)
	if a.Status == http.StatusNotFound {
		d.Miss(a.Path)
	}
}

// servedBundles are the bundles that a server serves.
type servedBundles struct {
	dirs    []string
	trust   bundle.Trust
	seen    string                    // their stamps when they were read, or before
	bundles map[string]*bundle.Bundle // as they were read last
	views   bundle.Views
}

func (c *command) runServe(o serve.Options, listen string, b servedBundles) error {
	sources, err := b.open(c.ctx)
	if err != nil {
		return err
	}
	views := b.views
	s, err := serve.New(o, sources...)
	if err != nil {
		return errors.Join(err, views.Close())
	}
	l, err := new(net.ListenConfig).Listen(c.ctx, "tcp", listen)
	if err != nil {
		return errors.Join(fmt.Errorf("--listen %s: %w", listen, err), views.Close())
	}
	scheme := "http"
	if o.CertFile != "" {
		scheme = "https"
	}
	for _, warning := range []string{serveWarning(o, l.Addr()), keyWarning(o.KeyFile)} {
		if warning != "" {
			c.warn(warning)
		}
	}
	fmt.Fprintf(c.stdout, "serving at %s://%s\n", scheme, l.Addr())
	for _, line := range b.contents(c.ctx) {
		fmt.Fprintln(c.stdout, line)
	}
	c.shown.Begin("answer requests", 0, 0)
	stopped := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.reload(s, b, stopped)
	}()
	err = s.Serve(c.ctx, l)
	close(stopped)
	<-watched
	return err
}

// serveWarning returns a warning if others may read more than the user thinks, or "".
func serveWarning(o serve.Options, addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	guarded := o.Password != "" || o.Token != ""
	switch {
	case guarded && o.CertFile == "":
		return "a password without TLS can be read by others, and the go command sends none over http: give --tls-cert and --tls-key"
	case !guarded && !(ok && tcp.IP.IsLoopback()):
		return fmt.Sprintf("who reaches %s reads the modules: set LARDER_SERVE_PASSWORD and give --tls-cert and --tls-key, or listen at 127.0.0.1", addr)
	}
	return ""
}

// keyWarning returns a warning if every user of the machine can read a key, or "".
func keyWarning(file string) string {
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o006 != 0 {
		return fmt.Sprintf("every user of this machine can read the key %s: take that away with chmod o= %s", file, file)
	}
	return ""
}

// reload makes the server read the bundles again when one of them has changed, or on SIGHUP, until stopped is closed.
// It tries again if one can't be read: a bundle that is being copied may lack a blob for a while.
func (c *command) reload(s *serve.Server, b servedBundles, stopped <-chan struct{}) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-stopped:
			_ = b.views.Close() // the process ends
			return
		case <-hup:
		case <-tick.C:
			if stamps(b.dirs) == b.seen {
				continue
			}
		}
		released, next, err := b.reopen(c.ctx, s)
		if err != nil {
			if text := err.Error(); text != said {
				c.warn("serving as before: " + text)
				said = text
			}
			continue
		}
		last := b.views
		go func() { <-released; _ = last.Close() }()
		b, said = next, ""
		c.shown.Note("read the bundles again: " + strings.Join(b.contents(c.ctx), "; "))
	}
}

// reopen makes the server serve the bundles as they are now. The old views may be closed when released is. It refuses a
// bundle that is signed with a lower serial than the one that is served.
func (b servedBundles) reopen(ctx context.Context, s *serve.Server) (released <-chan struct{}, next servedBundles, err error) {
	next = servedBundles{dirs: b.dirs, trust: b.trust}
	sources, err := next.open(ctx)
	if err != nil {
		return nil, next, err
	}
	for dir, old := range b.bundles {
		if len(b.trust.Keys) > 0 && err == nil {
			err = b.trust.Replace(ctx, old, next.bundles[dir], "what is there now")
		}
	}
	if err == nil {
		released, err = s.Reload(sources...)
	}
	if err != nil {
		return nil, next, errors.Join(err, next.views.Close())
	}
	return released, next, nil
}

// contents says what each bundle has for the go command.
func (b servedBundles) contents(ctx context.Context) (lines []string) {
	for _, dir := range b.dirs {
		count := map[string]int{}
		items, _ := b.bundles[dir].Items(ctx) // they were read before, and it isn't served if they can't be
		for _, i := range items {
			count[i.Kind]++
		}
		lines = append(lines, fmt.Sprintf("%s: %d modules, %d go.mod files, %d toolchains", dir, count[bundle.KindModule], count[bundle.KindGoMod], count[bundle.KindToolchain]))
	}
	return lines
}

// stamps joins the times of the bundles' index.json files. The text changes when one of them does.
func stamps(dirs []string) (all string) {
	for _, dir := range dirs {
		all += written(dir).String() + " "
	}
	return all
}

// written returns when a bundle's index.json was written. That file is written last. The time is zero if there is none.
func written(dir string) (at time.Time) {
	if info, err := os.Stat(filepath.Join(dir, "index.json")); err == nil {
		at = info.ModTime()
	}
	return at
}

// open opens the bundles, newest first. Unless it fails, the caller closes the views.
func (b *servedBundles) open(ctx context.Context) (sources []goproxy.Source, err error) {
	b.seen, b.bundles = stamps(b.dirs), map[string]*bundle.Bundle{} // before they are read: a change from then on is one to be seen
	dirs := slices.SortedStableFunc(slices.Values(b.dirs), func(x, y string) int { return written(y).Compare(written(x)) })
	for _, dir := range dirs {
		if b.bundles[dir], err = bundle.Open(ctx, dir, b.trust); err == nil {
			var v *bundle.View
			if v, err = b.bundles[dir].View(ctx, bundle.ModulesName, bundle.ToolchainName, bundle.SumDBName); err == nil {
				b.views = append(b.views, v)
				sources = append(sources, goproxy.SourceOf(dir, v))
			}
		}
		if err != nil {
			return nil, errors.Join(err, b.views.Close())
		}
	}
	return sources, nil
}
