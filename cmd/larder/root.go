package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/larder-build/larder/internal/cli/display"
	"github.com/spf13/cobra"
)

// A command holds what all subcommands need: the arguments, streams and environment of the process.
type command struct {
	ctx            context.Context
	env            map[string]string
	stdin          *os.File
	stdout, stderr *os.File
	shown          *display.Display // to which warnings go; nil before there is one
}

// usageTemplate is docker's template of a command's help.
const usageTemplate = `Usage:  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{- if .HasAvailableSubCommands}}

{{.Short}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{- else}}

{{with .Long}}{{.}}{{else}}{{.Short}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Options:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasExample}}

Examples:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Run '{{.CommandPath}} COMMAND --help' for more information on a command.
{{- end}}
`

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "larder COMMAND",
		Short:         "Build Go container images from what is already in the larder",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			// cobra would check this, too, but later and without FlagErrorFunc.
			if err := errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil {
				return cmd.FlagErrorFunc()(cmd, err)
			}
			return nil
		},
		DisableFlagsInUseLine: true,
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate("{{.UsageString}}")
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help"})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\n\n%s", err, hint(cmd))}
	})
	root.AddCommand(c.attest(), c.audit(), c.bake(), c.build(), c.bundle(), c.govulncheck(), c.init(), c.pin(), c.plan(), c.sign(), c.tools(), c.verify(), c.version())
	return root
}

// unknownCommand returns the error that docker gives for a command that doesn't exist.
func unknownCommand(cmd *cobra.Command, name string) error {
	return fmt.Errorf("unknown command: %s %s\n\nRun '%s --help' for more information", cmd.CommandPath(), name, cmd.CommandPath())
}

// hint returns the line that docker prints below a usage error.
func hint(cmd *cobra.Command) string {
	return fmt.Sprintf("Usage:  %s\n\nRun '%s --help' for more information", cmd.UseLine(), cmd.CommandPath())
}

// exactly checks the number of arguments, and fails in docker's words.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		want := fmt.Sprintf("%d arguments", n)
		if n == 1 {
			want = "1 argument"
		}
		return fmt.Errorf("'%s' requires %s\n\n%s", cmd.CommandPath(), want, hint(cmd))
	}
}
