package main

import (
	"fmt"

	"github.com/docker/cli/cli/config"
	"github.com/docker/go-units"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/oci/registry"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// registryFlags are the flags of commands that talk to registries.
type registryFlags struct {
	ca    string
	plain []string
}

func (f *registryFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.ca, "ca", "", "PEM file of certificate authorities to trust besides the system's")
	flags.StringArrayVar(&f.plain, "plain-http", nil, `Registry that has no TLS (format: "HOST[:PORT]"; those on loopback need not be named)`)
}

// registries returns a registry client that uses docker's logins.
func (c *command) registries(f registryFlags) (*registry.Client, error) {
	if err := checkCA(f.ca); err != nil {
		return nil, err
	}
	return registry.NewClient(registry.Options{Docker: config.LoadDefaultConfigFile(c.stderr), CA: f.ca, PlainHTTP: f.plain})
}

// transferFlags are the flags of push and pull.
type transferFlags struct {
	registryFlags
	trust    trustFlags
	progress string
}

func (f *transferFlags) register(cmd *cobra.Command) {
	f.registryFlags.register(cmd.Flags())
	progressFlag(cmd, &f.progress)
}

// tellTransfer prints how much a push or pull moved.
func (c *command) tellTransfer(verb string, t bundle.Transferred) {
	fmt.Fprintf(c.stdout, "%s %d of %d blobs, %s of %s\n", verb, t.Moved, t.Blobs, units.HumanSize(float64(t.MovedBytes)), units.HumanSize(float64(t.Bytes)))
}

func (c *command) bundlePush() *cobra.Command {
	f := &transferFlags{}
	var mountFrom []string
	cmd := &cobra.Command{
		Use:   "push [OPTIONS] BUNDLE REF",
		Short: "Put a bundle into a registry",
		Long: "Put a bundle into a registry: as an index under the tag of REF, and its modules under the\n" +
			"tag gosum-KEY of each module set, for LARDER_MODULES. What is there is not sent again. The\n" +
			"reference that is printed is of this bundle alone, whatever the tag names later.",
		Args: exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := c.open(args[0], f.trust)
			if err != nil {
				return err
			}
			client, err := c.registries(f.registryFlags)
			if err != nil {
				return err
			}
			to, err := client.Repository(args[1], mountFrom...)
			if err != nil {
				return err
			}
			d, err := c.display(f.progress)
			if err != nil {
				return err
			}
			defer d.Close()
			count, err := bundle.Push(c.ctx, b, to, to.Tag(), d)
			if err != nil {
				return err
			}
			d.End()
			c.tellTransfer("pushed", count)
			fmt.Fprintf(c.stdout, "%s@%s\n", to.Name(), count.Index)
			return nil
		},
		Example:               `  larder bundle push bundle registry.internal/stock:1`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd)
	f.trust.register(cmd.Flags())
	cmd.Flags().StringArrayVar(&mountFrom, "mount-from", nil, "Repository of the same registry that may have blobs already")
	return cmd
}

func (c *command) bundlePull() *cobra.Command {
	f := &transferFlags{}
	var output string
	cmd := &cobra.Command{
		Use:   "pull [OPTIONS] REF",
		Short: "Get a bundle from a registry",
		Long: "Get a bundle from a registry. What the folder has already, of an older bundle or of a pull\n" +
			"that was stopped, is not fetched again. REF may name a digest, as 'larder bundle push'\n" +
			"prints it. A bundle that was signed with a lower serial number than the one in the folder,\n" +
			"or with the same, is refused.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := c.trust(f.trust)
			if err != nil {
				return err
			}
			client, err := c.registries(f.registryFlags)
			if err != nil {
				return err
			}
			d, err := c.display(f.progress)
			if err != nil {
				return err
			}
			defer d.Close()
			b, count, err := bundle.Pull(c.ctx, output, args[0], client, t, d)
			if err != nil {
				return err
			}
			d.End()
			c.tellTransfer("pulled", count)
			return c.tellBundle(b)
		},
		Example:               `  larder bundle pull -o bundle registry.internal/stock:1`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd)
	f.trust.registerOlder(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "", "Folder of the bundle, which is made or brought up to date")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}
