package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/bundle/stock"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/credentials"
	"github.com/spf13/cobra"
)

// createFlags are the flags of larder bundle create.
type createFlags struct {
	stock.Options
	registryFlags
	trust  trustFlags
	minAge minAgeFlags
	keys   imageKeyFlags
	output string
	from   []string

	dockerfiles []string
	args        []string
	since       string
	vulnDB      string
	files       string
	dryRun      bool
	noSumDB     bool
	record      bool
	compile     bool
	compiled    compiledFlags
	secrets     []string
	targets     []string
	state       string
	progress    string
}

func (c *command) bundleCreate() *cobra.Command {
	f := &createFlags{}
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] [DIR...]",
		Short: "Collect what the builds of source trees need into a bundle",
		Long: "Collect what the builds of source trees need into a bundle: all modules of their go.sum\n" +
			"files, Go toolchains, the base images of their Dockerfiles, tools. What the bundle has\n" +
			"already is not fetched again; a run that was stopped goes on where it was.",
		RunE: func(_ *cobra.Command, args []string) error {
			f.Dirs = args
			return c.runBundleCreate(f)
		},
		Example: `  larder bundle create -o bundle .
  larder bundle create -o bundle --platform linux/amd64,linux/arm64 --tool golang.org/x/tools/cmd/stringer@v0.49.0 api web
  larder bundle create -o delta --since bundle .`,
		DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "", "Folder of the bundle, which is made or brought up to date")
	flags.StringSliceVar(&f.Platforms, "platform", nil, "Platforms of toolchains and images (default: this machine's)")
	flags.StringArrayVar(&f.Toolchains, "go", nil, `Add a Go toolchain (e.g., "1.26.8"), besides those that the trees ask for`)
	flags.StringArrayVar(&f.Images, "image", nil, "Add an image, besides those that Dockerfiles name")
	flags.BoolVar(&f.NoImages, "no-images", false, "Leave out the images that Dockerfiles name")
	flags.StringArrayVar(&f.args, "build-arg", nil, "Set build-time variables, as the build will: the names of images may hold them")
	flags.StringArrayVar(&f.Tools, "tool", nil, `Add a tool and all that it is built of (format: "PACKAGE@VERSION")`)
	flags.StringVar(&f.vulnDB, "vulndb", "", "Add a Go vulnerability database: a folder, or the URL of one (https://vuln.go.dev) or of a zip of one")
	flags.StringVar(&f.files, "files", "", "Add the files of a folder")
	flags.StringArrayVar(&f.from, "from", nil, "Take all that a bundle has, or a folder in a module proxy's layout, before a network is asked")
	flags.StringVar(&f.since, "since", "", "Make a delta to this bundle, for the side that has it")
	f.minAge.register(flags)
	f.keys.registerTrim(flags)
	f.trust.register(flags)
	flags.Lookup("key").Usage = "Public key, or a file that holds it, one of which must have signed the bundles of --from and --since (default: $" + keyVariable + ")"
	flags.Lookup("min-serial").Usage += ", of --from and --since"
	f.registryFlags.register(flags)
	flags.BoolVar(&f.noSumDB, "no-sumdb", false, "Don't copy what the checksum database says: desks that use the bundle then need GONOSUMDB")
	flags.BoolVar(&f.record, "record", false, "Build what the Dockerfiles of the trees say, and add what servers answer to RUN and ADD lines meanwhile")
	flags.StringArrayVarP(&f.dockerfiles, "file", "f", nil, "Name of a Dockerfile that isn't called so: its images are added, and --record and --compile build it and no other")
	flags.StringArrayVar(&f.targets, "target", nil, "Stage that --record and --compile build (default: the last one)")
	flags.BoolVar(&f.compile, "compile", false, "Compile what the trees' builds import from elsewhere, of what the bundle has, and add it")
	f.compiled.register(flags)
	flags.StringArrayVar(&f.secrets, "secret", nil, `Secret to expose to the builds of --record (format: "id=mysecret[,src=/local/secret]")`)
	flags.StringVar(&f.state, "state", "", "Folder in which the builders of --record and --compile have their state, while it runs (default: the user's data folder)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "Tell what would be in the bundle, its size and what is to be fetched, and fetch nothing of it")
	progressFlag(cmd, &f.progress)
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

func (c *command) runBundleCreate(f *createFlags) (err error) {
	if f.compile && f.since != "" {
		return usageError{errors.New("--compile needs a whole bundle to compile with: compile into one without --since, and make the delta with --from of it")}
	}
	if err := f.checkRecord(); err != nil {
		return usageError{err}
	}
	if err := normalizePlatforms(&f.Options); err != nil {
		return err
	}
	if err := f.addImages(c); err != nil {
		return err
	}
	now, err := c.now()
	if err != nil {
		return err
	}
	minAge, err := f.minAge.read(now)
	if err != nil {
		return err
	}
	if f.dryRun && !minAge.Age.IsZero() {
		return usageError{errors.New("--min-age reads what is fetched, and --dry-run fetches nothing: leave one of them out")}
	}
	s, err := c.stocker(f.ca)
	if err != nil {
		return err
	}
	d, err := c.display(f.progress)
	if err != nil {
		return err
	}
	defer d.Close()
	s.Progress = d
	t, err := c.trust(f.trust)
	if err != nil {
		return err
	}
	var views bundle.Views
	s.Folders, s.Bundles, views, err = openFolders(c.ctx, f.from, t)
	defer func() { err = errors.Join(err, views.Close()) }()
	if err != nil {
		return err
	}
	if f.BuildArgs, err = request.BuildArgs(append([]string{"GOTOOLCHAIN"}, f.args...), c.env); err != nil {
		return err
	}
	f.Warn, f.SumDB = c.warn, !f.noSumDB
	req, err := s.Read(c.ctx, f.Options)
	if err != nil {
		return err
	}
	if len(req.Modules.Text())+len(req.Toolchains)+len(req.Images) == 0 && f.vulnDB == "" && f.files == "" {
		return fmt.Errorf("nothing to put into the bundle: name a folder with a go.mod, or what to add with --go, --tool or --image")
	}
	var closeFolders func() error
	req.Folders, closeFolders, err = f.folders(c.ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFolders()) }()
	recorded, recordedViews, err := c.recorded(f, s.Bundles)
	defer func() { err = errors.Join(err, recordedViews.Close()) }()
	if err != nil {
		return err
	}
	if recorded != nil {
		req.Folders[bundle.RecordedName] = recorded
	}
	req.CompiledOf = c.compiledOf(s.Bundles, f.compiled)
	if f.since != "" {
		if req.Since, err = bundle.Open(c.ctx, f.since, t); err != nil {
			return err
		}
	}
	client, err := c.registries(f.registryFlags)
	if err != nil {
		return err
	}
	images, err := c.checkImages(&req, f.keys, client, s.Bundles)
	if err != nil {
		return err
	}
	if f.dryRun {
		return c.dryRun(s, req, images, f.output)
	}
	if !f.noSumDB {
		if req.SumDB, err = s.SumDB(); err != nil {
			return err
		}
	}
	m := bundle.Maker{Sources: s.Sources(), Bundles: s.Bundles, Images: images, Admit: admit(minAge), Progress: d}
	b, err := m.Create(c.ctx, f.output, req)
	if err != nil {
		return err
	}
	d.End()
	if f.compile {
		if req.Compiled, err = c.compile(f, b); err != nil {
			return fmt.Errorf("%w\n%s is a bundle without what this run would have compiled", err, f.output)
		}
		if b, err = m.Create(c.ctx, f.output, req); err != nil {
			return err
		}
		req.Compiled, req.CompiledOf = nil, []*bundle.Bundle{b}
		d.End()
	}
	if f.record {
		if req.Folders[bundle.RecordedName], err = c.record(f, b, s.Roots); err != nil {
			return fmt.Errorf("%w\n%s is a bundle without what this run would have recorded", err, f.output)
		}
		if b, err = m.Create(c.ctx, f.output, req); err != nil {
			return err
		}
		d.End()
	}
	return c.tellBundle(b)
}

// recorded opens the recordings that a new bundle begins with. They are those of the bundles that it is made from. With
// --record, they are those of the bundle that is replaced.
func (c *command) recorded(f *createFlags, from []*bundle.Bundle) (fs.FS, bundle.Views, error) {
	if !f.record {
		return recordings(c.ctx, from)
	}
	old, err := bundle.Open(c.ctx, f.output, bundle.Trust{})
	if err != nil {
		return nil, nil, nil // there is none, or what is made takes its place
	}
	list, views, err := recordings(c.ctx, []*bundle.Bundle{old})
	if err != nil {
		return nil, nil, views.Close()
	}
	return list, views, nil
}

// folders opens the folders that --files and --vulndb name. A dry run opens only those on this machine.
func (f *createFlags) folders(ctx context.Context, s *stock.Stocker) (list map[string]fs.FS, closeAll func() error, err error) {
	list, closeAll = map[string]fs.FS{}, func() error { return nil }
	if f.files != "" {
		if info, err := os.Stat(f.files); err != nil || !info.IsDir() {
			return nil, nil, fmt.Errorf("--files %s: it is no folder of this machine", f.files)
		}
		list[bundle.FilesName] = os.DirFS(f.files)
	}
	if f.vulnDB == "" || f.dryRun && stock.IsRemote(f.vulnDB) {
		return list, closeAll, nil
	}
	if list[bundle.VulnDBName], closeAll, err = s.VulnDB(ctx, f.vulnDB); err != nil {
		return nil, nil, fmt.Errorf("--vulndb: %w", err)
	}
	return list, closeAll, nil
}

// warn prints a warning. The command goes on.
func (c *command) warn(what string) {
	if c.shown != nil {
		c.shown.Warn(what)
		return
	}
	fmt.Fprintf(c.stderr, "WARNING: %s\n", what)
}

// normalizePlatforms gives platforms their full names. If there are none, it adds this machine's.
func normalizePlatforms(o *stock.Options) error {
	if len(o.Platforms) == 0 {
		o.Platforms = []string{platforms.Format(platforms.Normalize(platforms.DefaultSpec()))}
	}
	for i, name := range o.Platforms {
		p, err := platforms.Parse(name)
		if err != nil {
			return fmt.Errorf("--platform %s: %w", name, err)
		}
		o.Platforms[i] = platforms.Format(platforms.Normalize(p))
	}
	return nil
}

// checkCA fails if the file of --ca isn't there. The file of a build step may be missing.
func checkCA(ca string) error {
	if ca == "" {
		return nil
	}
	if _, err := os.Stat(ca); err != nil {
		return fmt.Errorf("--ca: %w", err)
	}
	return nil
}

// stocker makes a Stocker with the go command's settings. They come from go env if there is a go command, and else from
// the environment.
func (c *command) stocker(ca string) (*stock.Stocker, error) {
	if err := checkCA(ca); err != nil {
		return nil, err
	}
	creds, netrc, err := c.netrc()
	if err != nil {
		return nil, err
	}
	client, err := fetch.NewClient(ca, creds, fetch.Remedies{
		Missing:     "name a proxy in GOPROXY that serves it, or a folder or bundle that has it with --from",
		CA:          "if the network has a certificate authority of its own, pass it with --ca FILE",
		Credentials: "write them into " + netrc + ", as the go command has it",
	})
	if err != nil {
		return nil, err
	}
	env := c.environ()
	goCommand, _ := exec.LookPath("go") // without one, what needs it says so
	get := stock.Settings{
		GOPROXY: c.env["GOPROXY"], GOPRIVATE: c.env["GOPRIVATE"], GONOPROXY: c.env["GONOPROXY"], GONOSUMDB: c.env["GONOSUMDB"],
		GOSUMDB: c.env["GOSUMDB"], GOMODCACHE: c.env["GOMODCACHE"],
	}
	if goCommand != "" {
		cmd := exec.CommandContext(c.ctx, goCommand, "env", "GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOMODCACHE")
		cmd.Env, cmd.Dir = env, os.TempDir()
		out, err := cmd.Output()
		lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if err != nil || len(lines) != 6 {
			return nil, fmt.Errorf("asking the go command for its settings: %w", err)
		}
		get = stock.Settings{GOPROXY: lines[0], GOPRIVATE: lines[1], GONOPROXY: lines[2], GONOSUMDB: lines[3], GOSUMDB: lines[4], GOMODCACHE: lines[5]}
	}
	s, err := stock.New(get, client, goCommand, env)
	if err == nil && ca != "" {
		s.Roots, err = c.rootsWith(ca)
	}
	return s, err
}

// rootsWith returns the certificate authorities of this machine and those in a file, as PEM.
func (c *command) rootsWith(ca string) ([]byte, error) {
	roots, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	if system := request.CACertificates(c.env["SSL_CERT_FILE"]); system != "" {
		more, err := os.ReadFile(system)
		if err != nil {
			return nil, fmt.Errorf("reading this machine's certificate authorities: %w", err)
		}
		roots = slices.Concat(roots, []byte("\n"), more)
	}
	return roots, nil
}

// netrc reads the user's netrc file as the go command does, and returns the credentials and the file's name.
func (c *command) netrc() (*credentials.Store, string, error) {
	name := c.env["NETRC"]
	if name == "" {
		name = filepath.Join(c.env["HOME"], ".netrc")
	}
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, name, fmt.Errorf("reading credentials: %w", err)
	}
	creds, err := credentials.Parse(credentials.Files{Netrc: text})
	var bad *credentials.Error
	if errors.As(err, &bad) {
		err = fmt.Errorf("%s, line %d: %w", name, bad.Line, bad.Err)
	}
	return creds, name, err
}

// openFolders opens bundles, and folders that are laid out as a module proxy. The caller closes the views, after an
// error too.
func openFolders(ctx context.Context, names []string, t bundle.Trust) (list []bundle.Folder, bundles []*bundle.Bundle, views bundle.Views, err error) {
	for _, name := range names {
		if _, serr := os.Stat(filepath.Join(name, "index.json")); serr != nil {
			if info, serr := os.Stat(name); serr != nil || !info.IsDir() {
				return nil, nil, views, fmt.Errorf("--from %s: it is no folder of this machine", name)
			}
			list = append(list, bundle.Folder{Name: name, FS: os.DirFS(name)})
			continue
		}
		b, err := bundle.Open(ctx, name, t)
		if err != nil {
			return nil, nil, views, fmt.Errorf("--from: %w", err)
		}
		folder, view, err := b.Folder(ctx)
		if err != nil {
			return nil, nil, views, fmt.Errorf("--from: %w", err)
		}
		views, list, bundles = append(views, view), append(list, folder), append(bundles, b)
	}
	return list, bundles, views, nil
}
