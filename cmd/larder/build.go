package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// buildFlags are the flags of larder build.
type buildFlags struct {
	request.Options
	builder      builder.Options
	progress     string
	quiet, check bool
	explain      bool
	metadataFile string
	iidFile      string
	bundle       bundleFlags
}

func (c *command) build() *cobra.Command {
	f := &buildFlags{}
	cmd := &cobra.Command{
		Use:   "build [OPTIONS] PATH | URL | -",
		Short: "Build an image from a Go module or a Dockerfile",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Context = args[0]
			return c.runBuild(cmd, f)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		Example: `  larder build -o type=oci,dest=image.tar .
  larder build -t registry.example.com/app:1 --platform linux/amd64,linux/arm64 --push .`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	for flag, values := range map[string][]string{
		"progress": {"auto", "none", "plain", "quiet", "rawjson", "tty"},
		"network":  {"default", "none", "host"},
		"call":     {"build", "check", "outline", "targets"},
		"builder":  {builder.Docker, builder.Embedded},
	} {
		// It fails only for a flag that isn't there.
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// register adds the flags. They have docker's words where docker has the flag.
func (f *buildFlags) register(flags *pflag.FlagSet) {
	sourceFlags(flags, &f.Options)
	flags.StringSliceVar(&f.AddHosts, "add-host", nil, `Add a custom host-to-IP mapping (format: "host:ip")`)
	flags.StringArrayVar(&f.Allow, "allow", nil, `Allow extra privileged entitlement (e.g., "network.host", "security.insecure", "device")`)
	flags.StringArrayVar(&f.Annotations, "annotation", nil, "Add annotation to the image")
	flags.StringArrayVar(&f.Attests, "attest", nil, `Attestation parameters (format: "type=sbom,generator=image")`)
	f.bundle.register(flags)
	flags.StringArrayVar(&f.CacheFrom, "cache-from", nil, `External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")`)
	flags.StringArrayVar(&f.CacheTo, "cache-to", nil, `Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")`)
	flags.StringVar(&f.Call, "call", "build", `Set method for evaluating build ("check", "outline", "targets")`)
	flags.BoolVar(&f.check, "check", false, `Shorthand for "--call=check"`)
	flags.BoolVar(&f.explain, "explain", false, "Say of each step that ran what changed since the last build that this builder remembers")
	flags.StringVar(&f.iidFile, "iidfile", "", "Write the image ID to a file")
	flags.StringArrayVar(&f.Labels, "label", nil, "Set metadata for an image")
	flags.BoolVar(&f.Load, "load", false, `Shorthand for "--output=type=docker"`)
	flags.StringVar(&f.metadataFile, "metadata-file", "", "Write build result metadata to a file")
	flags.StringVar(&f.Network, "network", "default", `Set the networking mode for the "RUN" instructions during build`)
	flags.BoolVar(&f.NoCache, "no-cache", false, "Do not use cache when building the image")
	flags.StringArrayVar(&f.NoCacheFilter, "no-cache-filter", nil, "Do not cache specified stages")
	flags.StringArrayVarP(&f.Outputs, "output", "o", nil, `Output destination (format: "type=local,dest=path")`)
	flags.StringVar(&f.progress, "progress", "auto", `Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show container output`)
	flags.StringVar(&f.Provenance, "provenance", "", `Shorthand for "--attest=type=provenance" (default: none)`)
	flags.BoolVar(&f.Pull, "pull", false, "Always attempt to pull all referenced images")
	flags.BoolVar(&f.Push, "push", false, `Shorthand for "--output=type=registry,unpack=false"`)
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "Suppress the build output and print image ID on success")
	flags.StringVar(&f.SBOM, "sbom", "", `Shorthand for "--attest=type=sbom"`)
	flags.StringArrayVar(&f.Secrets, "secret", nil, `Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")`)
	flags.StringVar(&f.ShmSize, "shm-size", "", "Shared memory size for build containers")
	flags.StringArrayVar(&f.SSH, "ssh", nil, `SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")`)
	flags.StringArrayVarP(&f.Tags, "tag", "t", nil, `Image identifier (format: "[registry/]repository[:tag]")`)
	flags.StringArrayVar(&f.Ulimits, "ulimit", nil, `Ulimit options (e.g., "nofile=1024:2048")`)
	builderFlags(flags, &f.builder)
}

// sourceFlags adds the flags that say what is built.
func sourceFlags(flags *pflag.FlagSet, o *request.Options) {
	flags.StringArrayVar(&o.BuildArgs, "build-arg", nil, "Set build-time variables")
	flags.StringArrayVar(&o.BuildContexts, "build-context", nil, "Additional build contexts (e.g., name=path)")
	flags.StringVarP(&o.File, "file", "f", "", `Name of the Dockerfile (default: "PATH/Dockerfile")`)
	flags.StringArrayVar(&o.Platforms, "platform", nil, "Set target platform for build")
	flags.StringVar(&o.Target, "target", "", "Set the target build stage to build, or in a module without a Dockerfile the command of cmd/NAME")
}

func (c *command) runBuild(cmd *cobra.Command, f *buildFlags) (err error) {
	if f.check {
		f.Call = "check"
	}
	mode, err := c.displayMode(f)
	if err != nil {
		return err
	}
	f.bundle.progress = displayOf(mode)
	h := c.host()
	from, err := c.useBundle(&f.Options, f.bundle, &h)
	if err != nil {
		return err
	}
	if from.Bundle != nil && !f.quiet {
		fmt.Fprintf(c.stderr, "# The same by buildx, and by bake:\n%s\n%s\n", buildxCommand(cmd.Flags(), from.contexts, f.Context), bakeCommand(from.contexts, f))
	}
	f.Again = again("larder build", f.Context)
	req, err := request.New(c.ctx, f.Options, h)
	if err != nil {
		return err
	}
	// A build that fails leaves no old id that could be taken for its own.
	if f.iidFile != "" {
		if err := os.Remove(f.iidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing image ID file: %w", err)
		}
	}
	replayed, err := c.replayFrom(from.Bundle, &f.builder, recordAgain(f.bundle.name, f.Options))
	if err != nil {
		return err
	}
	defer func() { err = replayed.finish(c, err) }()
	fe := &frontend.Frontend{Again: f.Again, Folders: req.Folders()}
	memory, err := c.buildMemory(f, req, fe)
	if err != nil {
		return err
	}
	if f.explain && memory == nil {
		return errors.New("--explain: what is built is compared with what was built of the same folder: give a folder as the build context, and no --call")
	}
	res, err := c.solve(fe, req, f.builder, mode, watcher{replayed.answer(req, fe), memory})
	if err != nil {
		return err
	}
	return c.tell(f, req, res)
}

// tell writes the outputs of a finished build: the ID and metadata files, and the answer to --call.
func (c *command) tell(f *buildFlags, req *request.Request, res *result) error {
	if f.iidFile != "" {
		if err := request.WriteFile(f.iidFile, []byte(request.ImageID(res.response))); err != nil {
			return err
		}
	}
	if f.metadataFile != "" {
		metadata := request.Metadata(res.response)
		if f.explain {
			metadata["larder.explanation"] = res.why
		}
		if err := request.WriteMetadata(f.metadataFile, metadata); err != nil {
			return err
		}
	}
	if f.explain {
		res.why.write(c.stderr)
	}
	if req.Call != nil {
		status, err := req.Call.Print(c.stdout, res.metadata)
		if err == nil && status != 0 {
			err = exitStatus(status)
		}
		return err
	}
	if f.quiet {
		fmt.Fprintln(c.stdout, request.ImageID(res.response))
	}
	return nil
}

// displayMode reads --progress, $BUILDKIT_PROGRESS and -q as docker does.
func (c *command) displayMode(f *buildFlags) (progressui.DisplayMode, error) {
	name := f.progress
	if env := c.env["BUILDKIT_PROGRESS"]; name == "auto" && env != "" && !f.quiet {
		name = env
	}
	switch name {
	case "none":
		name = "quiet"
	case "quiet":
		f.quiet = true
	case "auto", "plain", "tty", "rawjson":
	default:
		return "", fmt.Errorf(`--progress %q: one of auto, none, plain, quiet, rawjson, tty`, name)
	}
	if f.quiet {
		if name != "auto" && name != "quiet" {
			return "", fmt.Errorf("progress=%s and quiet cannot be used together", name)
		}
		name = "quiet"
	}
	return progressui.DisplayMode(name), nil
}
