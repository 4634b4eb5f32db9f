package main

import (
	"fmt"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/bundle/stock"
	"github.com/spf13/cobra"
)

func (c *command) bundleApply() *cobra.Command {
	var f trustFlags
	cmd := &cobra.Command{
		Use:   "apply [OPTIONS] DELTA BUNDLE",
		Short: "Bring a bundle up to date with a delta",
		Long: "Bring a bundle up to date with a delta, which 'larder bundle create --since' makes. The\n" +
			"bundle stays as it is until all of the delta is there. A delta that was signed with a lower\n" +
			"serial number than the bundle, or with the same, is refused.",
		Args: exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := c.trust(f)
			if err != nil {
				return err
			}
			delta, err := bundle.Open(c.ctx, args[0], t)
			if err != nil {
				return err
			}
			b, err := bundle.Apply(c.ctx, args[1], delta, t)
			if err != nil {
				return err
			}
			return c.tellBundle(b)
		},
		DisableFlagsInUseLine: true,
	}
	f.registerOlder(cmd.Flags())
	return cmd
}

func (c *command) bundleMerge() *cobra.Command {
	var f trustFlags
	var output, ca string
	var noSumDB bool
	var compiled compiledFlags
	var progress string
	cmd := &cobra.Command{
		Use:   "merge [OPTIONS] BUNDLE BUNDLE...",
		Short: "Make one bundle of several",
		Long: "Make one bundle of several, with all that they hold; of vulnerability databases, the last\n" +
			"one's. It is an error if they disagree on what something is.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("'%s' requires at least 2 arguments\n\n%s", cmd.CommandPath(), hint(cmd))
			}
			bundles, err := c.openAll(f, args...)
			if err != nil {
				return err
			}
			var sumdb bundle.SumDB
			if !noSumDB {
				s, err := c.stocker(ca)
				if err != nil {
					return err
				}
				if sumdb, err = s.SumDB(); err != nil {
					return err
				}
			}
			d, err := c.display(progress)
			if err != nil {
				return err
			}
			defer d.Close()
			b, err := bundle.Merge(c.ctx, output, bundles, c.compiledOf(bundles, compiled), sumdb, d)
			if err != nil {
				return err
			}
			d.End()
			return c.tellBundle(b)
		},
		Example:               `  larder bundle merge -o all --no-sumdb api web`,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Folder of the bundle to make")
	cmd.Flags().BoolVar(&noSumDB, "no-sumdb", false, "Leave the copies of the checksum database out, so that it need not be asked for what they don't prove together")
	cmd.Flags().StringVar(&ca, "ca", "", "PEM file of certificate authorities to trust besides the system's")
	f.register(cmd.Flags())
	compiled.register(cmd.Flags())
	progressFlag(cmd, &progress)
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

func (c *command) bundlePrune() *cobra.Command {
	var f trustFlags
	var o stock.Options
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS] BUNDLE DIR...",
		Short: "Remove from a bundle what no source tree needs any more",
		Long: "Remove from a bundle the modules and toolchains that none of some source trees needs, nor\n" +
			"any tool in it. Images and files stay. No network is asked.",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) < 2 {
				return fmt.Errorf("'%s' requires at least 2 arguments\n\n%s", cmd.CommandPath(), hint(cmd))
			}
			o.Dirs, o.NoImages, o.Warn = args[1:], true, c.warn
			if err := normalizePlatforms(&o); err != nil {
				return err
			}
			b, err := c.open(args[0], f)
			if err != nil {
				return err
			}
			s, err := stock.New(stock.Settings{GOPROXY: "off", GOSUMDB: "off"}, nil, "", nil)
			if err != nil {
				return err
			}
			want, err := s.Read(c.ctx, o)
			if err != nil {
				return err
			}
			pruned, err := bundle.Prune(c.ctx, b, want)
			if err != nil {
				return err
			}
			return c.tellBundle(pruned)
		},
		Example:               `  larder bundle prune bundle api web`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	cmd.Flags().StringSliceVar(&o.Platforms, "platform", nil, "Platforms of toolchains to keep (default: this machine's)")
	return cmd
}
