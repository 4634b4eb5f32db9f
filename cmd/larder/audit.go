package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"go/build"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/audit"
	"github.com/spf13/cobra"
)

// auditFlags are the flags of larder audit.
type auditFlags struct {
	modules, vulnDB string
	bundle          string
	trust           trustFlags
	registryFlags   registryFlags
	maxAge          audit.Age
	minAge          minAgeFlags
	denyLicenses    []string
	format, output  string
	author          string
	failOn          string
	govulncheck     string
	progress        string
}

func (c *command) audit() *cobra.Command {
	f := &auditFlags{}
	cmd := &cobra.Command{
		Use:   "audit [OPTIONS] [DIR|IMAGE...]",
		Short: "Look for what is wrong with the modules of source trees and images, offline",
		Long: "Look for what is wrong with the modules of source trees, without a network: versions\n" +
			"that differ between services, that are retracted, deprecated, old or too young, missing\n" +
			"checksums, replacements that leave the tree, licences, and known vulnerabilities. IMAGE is\n" +
			"a built image, whose programs of Go say what is linked into them: an OCI layout, a folder\n" +
			"or a tar file, or a reference in a registry, with its tag or digest.",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && f.bundle == "" {
				args = []string{"."}
			}
			return c.runAudit(f, args)
		},
		Example: `  larder audit .
  larder audit --vulndb ./vulndb registry.example.com/app:1
  larder audit --modules ./proxy --vulndb ./vulndb --format sarif -o audit.sarif services/api services/web`,
		DisableFlagsInUseLine: true,
	}
	f.maxAge, _ = audit.ParseAge("2y")
	flags := cmd.Flags()
	flags.StringVar(&f.bundle, "bundle", "", "Bundle to take modules and the vulnerability database from, and to look at where no folder is named")
	f.trust.register(flags)
	f.registryFlags.register(flags)
	flags.StringArrayVar(&f.denyLicenses, "deny-licence", nil, `Licence that is an error (e.g., "AGPL-3.0", "GPL-*")`)
	flags.StringVar(&f.failOn, "fail-on", "error", `Fail on findings of this severity or a higher one ("error", "warning", "note", "none")`)
	flags.StringVar(&f.govulncheck, "govulncheck", "", "File for what govulncheck itself prints, as JSON")
	flags.StringVar(&f.format, "format", "text", `Format of the report ("text", "json", "sarif", "openvex")`)
	flags.StringVar(&f.author, "author", "", `Who vouches for an OpenVEX document (default "Unknown Author")`)
	flags.Var(&f.maxAge, "max-age", `Age from which on a release is old (e.g., "2y", "90d", "0" for no limit)`)
	f.minAge.register(flags)
	flags.StringVar(&f.modules, "modules", "", "Folder of modules in a module proxy's layout, or a module cache (default: the go command's module cache)")
	flags.StringVarP(&f.output, "output", "o", "", "Write the report to a file")
	progressFlag(cmd, &f.progress)
	flags.StringVar(&f.vulnDB, "vulndb", "", "Folder of a Go vulnerability database")
	for flag, values := range map[string][]string{"fail-on": {"error", "warning", "note", "none"}, "format": {"text", "json", "sarif", "openvex"}} {
		// It fails only for a flag that isn't there.
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

func (c *command) runAudit(f *auditFlags, names []string) (err error) {
	failOn, err := audit.ParseSeverity(f.failOn)
	if err != nil {
		return fmt.Errorf("--fail-on: %w", err)
	}
	write, err := f.writer(len(names) == 0)
	if err != nil {
		return err
	}
	if f.bundle == "" && f.trust.given() {
		return usageError{errors.New("--key and --min-serial are for --bundle")}
	}
	dirs, images, err := treesAndImages(names)
	if err != nil {
		return err
	}
	o, err := c.auditOptions(f, len(images) == 0 || len(dirs) > 0)
	if err != nil {
		return err
	}
	d, err := c.display(f.progress)
	if err != nil {
		return err
	}
	defer d.Close()
	o.Progress = d
	if f.bundle != "" {
		views, err := c.auditBundle(&o, f, len(names) == 0)
		if err != nil {
			return errors.Join(err, views.Close())
		}
		defer views.Close()
	}
	for _, dir := range dirs {
		tree, root, err := openTree(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		o.Trees = append(o.Trees, tree)
	}
	remove, err := c.auditImages(&o, f.registryFlags, images)
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	if f.govulncheck != "" && o.VulnDB == nil {
		return errors.New("--govulncheck: there is no vulnerability database for it: name its folder with --vulndb")
	}
	if f.format == "openvex" && o.VulnDB == nil {
		return errors.New("--format openvex: there is no vulnerability database to say something of: name its folder with --vulndb")
	}
	var printed bytes.Buffer
	if f.govulncheck != "" {
		o.Printed = &printed
	}
	report, err := audit.Run(c.ctx, o)
	if err != nil {
		return err
	}
	d.End()
	if f.govulncheck != "" {
		if err := atomicfile.Write(f.govulncheck, printed.Bytes()); err != nil {
			return fmt.Errorf("--govulncheck: %w", err)
		}
	}
	if f.output == "" {
		err = write(report, c.stdout)
	} else {
		err = atomicfile.WriteBy(f.output, func(w *os.File) error { return write(report, w) })
	}
	if err == nil && report.Reaches(failOn) {
		err = exitStatus(1)
	}
	return err
}

// writer returns what writes a report in the format that the flags name. A bundle alone is no product that a statement could
// be about.
func (f *auditFlags) writer(bundleAlone bool) (func(*audit.Report, io.Writer) error, error) {
	if f.author != "" && f.format != "openvex" {
		return nil, usageError{errors.New("--author is for --format openvex")}
	}
	switch f.format {
	case "text":
		return (*audit.Report).WriteText, nil
	case "json":
		return (*audit.Report).WriteJSON, nil
	case "sarif":
		return func(r *audit.Report, w io.Writer) error { return r.WriteSARIF(w, larderVersion()) }, nil
	case "openvex":
		if bundleAlone {
			return nil, usageError{errors.New("--format openvex says of products what affects them: name source trees or images")}
		}
		author := cmp.Or(f.author, "Unknown Author")
		return func(r *audit.Report, w io.Writer) error { return r.WriteOpenVEX(w, author, larderVersion()) }, nil
	}
	return nil, fmt.Errorf("--format %q: one of text, json, sarif, openvex", f.format)
}

// openTree opens a folder for an audit. Links can't lead out of it. The caller closes the root.
func openTree(dir string) (audit.Tree, *os.Root, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return audit.Tree{}, nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return audit.Tree{}, nil, err
	}
	return audit.Tree{Name: dir, Dir: abs, FS: root.FS()}, root, nil
}

// auditOptions makes the options of an audit from flags: where the facts about modules are read from. Without a tree, the
// go command's module cache isn't one of these places: it has other modules than an image.
func (c *command) auditOptions(f *auditFlags, hasTrees bool) (o audit.Options, err error) {
	o = audit.Options{Env: c.env, MaxAge: f.maxAge, DenyLicenses: f.denyLicenses}
	if o.Now, err = c.now(); err != nil {
		return o, err
	}
	if o.MinAge, err = f.minAge.read(o.Now); err != nil {
		return o, err
	}
	self, err := os.Executable()
	if err != nil {
		return o, err
	}
	o.Govulncheck = []string{self, "govulncheck"}
	if f.vulnDB != "" {
		if o.VulnDB, err = openFolder("vulndb", f.vulnDB); err != nil {
			return o, err
		}
	}
	if f.modules != "" {
		o.Modules, err = openFolder("modules", f.modules)
		if download, statErr := fs.Sub(o.Modules, "cache/download"); err == nil && statErr == nil && isFolder(download) {
			o.Modules = download
		}
		return o, err
	}
	if !hasTrees {
		return o, nil
	}
	if download, cache := c.moduleCache(); download != nil {
		o.Modules, o.ModCache = download, cache
	}
	return o, nil
}

// moduleCache returns the folder of the go command's module cache, and what of it is laid out as a module proxy: nil if
// there is none.
func (c *command) moduleCache() (download fs.FS, cache string) {
	cache = c.env["GOMODCACHE"]
	if gopath := filepath.SplitList(build.Default.GOPATH); cache == "" && len(gopath) > 0 {
		cache = filepath.Join(gopath[0], "pkg", "mod")
	}
	if download = os.DirFS(filepath.Join(cache, "cache", "download")); cache == "" || !isFolder(download) {
		return nil, ""
	}
	return download, cache
}

// now returns the time that ages are counted from. It is SOURCE_DATE_EPOCH if that is set, so that a report can be made
// again.
func (c *command) now() (time.Time, error) {
	epoch := c.env["SOURCE_DATE_EPOCH"]
	if epoch == "" {
		return time.Now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: expected a number of seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0), nil
}

func openFolder(flag, dir string) (fs.FS, error) {
	fsys := os.DirFS(dir)
	if !isFolder(fsys) {
		return nil, fmt.Errorf("--%s %s: there is no such folder", flag, dir)
	}
	return fsys, nil
}

func isFolder(fsys fs.FS) bool {
	fi, err := fs.Stat(fsys, ".")
	return err == nil && fi.IsDir()
}

// govulncheck makes the hidden command that larder audit starts to find vulnerabilities.
func (c *command) govulncheck() *cobra.Command {
	return &cobra.Command{
		Use:                "govulncheck",
		Short:              "Run govulncheck, for larder audit",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			err := audit.Govulncheck(c.ctx, args, c.stdout, c.stderr)
			if err != nil {
				fmt.Fprintln(c.stderr, err) // as it is: larder audit makes it a part of its own message
				err = exitStatus(1)
			}
			return err
		},
	}
}
