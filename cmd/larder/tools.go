package main

import (
	"fmt"
	"os/exec"

	"github.com/larder-build/larder/internal/bundle/install"
	"github.com/spf13/cobra"
)

func (c *command) tools() *cobra.Command {
	cmd := &cobra.Command{
		Use:                   "tools COMMAND",
		Short:                 "Install tools from a bundle",
		Args:                  cobra.ArbitraryArgs,
		RunE:                  c.groupOnly,
		DisableFlagsInUseLine: true,
	}
	cmd.AddCommand(c.toolsInstall())
	return cmd
}

func (c *command) toolsInstall() *cobra.Command {
	var f trustFlags
	var from, output string
	cmd := &cobra.Command{
		Use:   "install [OPTIONS] NAME",
		Short: "Build a tool from a bundle, without a network",
		Args:  exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := c.open(from, f)
			if err != nil {
				return err
			}
			goCommand, _ := exec.LookPath("go") // without one the bundle's toolchain is taken
			i := install.Installer{Bundle: b, Go: goCommand, Env: c.environ()}
			file, err := i.Install(c.ctx, args[0], output)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.stdout, file)
			return nil
		},
		Example:               `  larder tools install --bundle bundle -o bin stringer`,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVar(&from, "bundle", "", "Folder of the bundle")
	cmd.Flags().StringVarP(&output, "output", "o", ".", "Folder to put the binary into")
	f.register(cmd.Flags())
	_ = cmd.MarkFlagRequired("bundle")
	return cmd
}

// environ returns the environment in the form that os/exec takes.
func (c *command) environ() []string {
	var env []string
	for name, value := range c.env {
		env = append(env, name+"="+value)
	}
	return env
}
