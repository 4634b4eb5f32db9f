package main

import (
	"github.com/larder-build/larder/internal/cli/display"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/spf13/cobra"
)

// progressFlag adds the flag --progress.
func progressFlag(cmd *cobra.Command, mode *string) {
	cmd.Flags().StringVar(mode, "progress", "auto", `Set type of progress output ("auto", "json", "none", "plain", "quiet", "tty")`)
	// It fails only for a flag that isn't there.
	_ = cmd.RegisterFlagCompletionFunc("progress", cobra.FixedCompletions([]string{"auto", "json", "none", "plain", "quiet", "tty"}, cobra.ShellCompDirectiveNoFileComp))
}

// display shows on standard error how far the command is, and its warnings from now on. The caller closes it.
func (c *command) display(mode string) (*display.Display, error) {
	d, err := display.New(c.stderr, mode, c.env, display.System{})
	if err != nil {
		return nil, usageError{err}
	}
	c.shown = d
	return d, nil
}

// displayOf returns the mode that goes with the one of a build.
func displayOf(mode progressui.DisplayMode) string {
	if mode == progressui.RawJSONMode {
		return "json"
	}
	return string(mode)
}

// buildDisplay returns the mode of a build that is a part of what is shown in a mode.
func buildDisplay(mode string) progressui.DisplayMode {
	switch mode {
	case "none":
		return progressui.QuietMode
	case "json":
		return progressui.RawJSONMode
	}
	return progressui.DisplayMode(mode)
}
