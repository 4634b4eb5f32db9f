package main

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/spf13/cobra"
)

func (c *command) bundleExport() *cobra.Command {
	var f bundleFlags
	var at string
	var sums []string
	cmd := &cobra.Command{
		Use:   "export [OPTIONS] BUNDLE DIR",
		Short: "Write a bundle as files for programs that know no bundles",
		Long: "Write a bundle as files for programs that know no bundles, such as the go command, buildah\n" +
			"and kaniko: a GOPROXY folder with what the bundle has of the checksum database, archives of\n" +
			"toolchains and images, and settings for the go command. Everything is checked as 'larder\n" +
			"bundle verify' does. BUNDLE is a folder, or a reference in a registry.",
		Args: exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if at != "" && !path.IsAbs(at) {
				return usageError{fmt.Errorf("--at %s: expected an absolute path", at)}
			}
			set, err := readSums(sums)
			if err != nil {
				return err
			}
			key, err := modfetch.DatabaseKey(c.env["GOSUMDB"])
			if err != nil {
				return err
			}
			f.name = args[0]
			b, err := c.openOrPull(f)
			if err != nil {
				return err
			}
			d, err := c.display(f.progress)
			if err != nil {
				return err
			}
			defer d.Close()
			got, err := b.Export(c.ctx, bundle.Export{Dir: args[1], At: at, Sums: set, Key: key, Progress: d})
			if err != nil {
				return err
			}
			d.End()
			fmt.Fprintf(c.stdout, "%s: %d modules, %d go.mod files, %d toolchains, %d images, %d tools, %d files; the checksum database vouches for %d hashes\n",
				args[1], got.Modules, got.GoMods, got.Toolchains, got.Images, got.Tools, got.Files, got.SumDB)
			return c.tellEnv(args[1], at)
		},
		Example: `  larder bundle export bundle out
  larder bundle export --at /export registry.internal/stock:1 out`,
		DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.StringVar(&at, "at", "", "Absolute path by which builds will read DIR, such as that of a mount in a container (default: where it is)")
	flags.StringArrayVar(&sums, "go-sum", nil, "Check that the bundle has all that a go.sum file lists, with its hashes")
	f.trust.register(flags)
	f.registry.register(flags)
	progressFlag(cmd, &f.progress)
	return cmd
}

// tellEnv prints the GOENV setting that makes the go command read all from an export.
func (c *command) tellEnv(dir, at string) error {
	abs, err := filepath.Abs(dir)
	if at == "" {
		at = filepath.ToSlash(abs)
	}
	_, printed := fmt.Fprintf(c.stdout, "build from it with GOENV=%s\n", quote(path.Join(at, "env")))
	return errors.Join(err, printed)
}
