package main

import (
	"github.com/spf13/cobra"
)

func (c *command) bundle() *cobra.Command {
	cmd := &cobra.Command{
		Use:                   "bundle COMMAND",
		Short:                 "Stock, check and move what offline builds need",
		Args:                  cobra.ArbitraryArgs,
		RunE:                  c.groupOnly,
		DisableFlagsInUseLine: true,
	}
	cmd.AddCommand(c.bundleCreate(), c.bundleVerify(), c.bundleInspect(), c.bundleLs(), c.bundleDiff(), c.bundleExport(), c.bundleApply(), c.bundleKeygen(), c.bundleMerge(), c.bundlePrune(), c.bundlePull(), c.bundlePush(), c.bundleServe(), c.bundleSign())
	return cmd
}

// groupOnly runs a command that does nothing without a subcommand: it prints the help, or an error for an unknown
// subcommand.
func (c *command) groupOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}
