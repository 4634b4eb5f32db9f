package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/spf13/cobra"
)

// planFlags are the flags of larder plan.
type planFlags struct {
	request.Options
	builder builder.Options
	json    bool
	llb     string
	out     string // of the plain Dockerfile
	html    string // the file of the page
	since   string // a commit
	bundle  bundleFlags
}

func (c *command) plan() *cobra.Command {
	f := &planFlags{}
	cmd := &cobra.Command{
		Use:   "plan [OPTIONS] PATH",
		Short: "Show what would be built, and why",
		Long: "Show what would be built, and why: toolchain, modules, packages, platforms,\n" +
			"and the steps, with those that may use a network. Nothing is built.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f.Context, f.Again = args[0], again("larder plan", args[0])
			if f.llb != "" {
				return c.planLLB(f)
			}
			return c.runPlan(f)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	sourceFlags(flags, &f.Options)
	f.bundle.register(flags)
	flags.BoolVar(&f.json, "json", false, "Print the plan as JSON")
	flags.StringVar(&f.llb, "llb", "", `Print the LLB in place of the plan ("json", "dot"); a builder is asked for it`)
	flags.StringVar(&f.out, "dockerfile-out", "", "Write a plain Dockerfile to a file, in place of printing the plan: one that other builders than Larder build to the same files")
	flags.StringVar(&f.html, "html", "", "Write the plan to a file as a page for a browser, in place of printing it")
	flags.StringVar(&f.since, "since", "", "Print what runs again since a commit, tag or branch, in place of the plan, and why")
	builderFlags(flags, &f.builder)
	cmd.MarkFlagsMutuallyExclusive("json", "llb", "dockerfile-out", "html")
	cmd.MarkFlagsMutuallyExclusive("since", "llb", "dockerfile-out", "html")
	// It fails only for a flag that isn't there.
	_ = cmd.RegisterFlagCompletionFunc("llb", cobra.FixedCompletions([]string{"json", "dot"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// runPlan plans without a builder.
func (c *command) runPlan(f *planFlags) error {
	h := c.host()
	from, err := c.useBundle(&f.Options, f.bundle, &h)
	if err != nil {
		return err
	}
	in, err := request.PlanInputs(c.ctx, f.Options, h)
	if err != nil {
		return err
	}
	tree, err := request.OpenTree(c.ctx, f.Context)
	if err != nil {
		return err
	}
	defer tree.Close()
	opt := c.planOptions(f.Options, in, from)
	plan, err := frontend.LoadPlan(tree, opt)
	if err = cmp.Or(c.ctx.Err(), err); err != nil {
		return err
	}
	if f.since != "" {
		list, err := c.changesSince(f.since, f.Options, in.Dir, opt, plan)
		if err != nil {
			return err
		}
		return c.writeChanges(f.since, list, f.json)
	}
	if f.out != "" {
		return c.writePlain(f, in, plan)
	}
	if f.html != "" {
		return c.writePage(f, tree, opt, plan, from)
	}
	if !f.json {
		return plan.WriteText(c.stdout)
	}
	enc := json.NewEncoder(c.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Schema int `json:"schema"`
		*planner.Plan
	}{planner.PlanSchema, plan})
}

// planOptions returns the options of a plan for the inputs that were read.
func (c *command) planOptions(o request.Options, in request.Inputs, from usedBundle) frontend.PlanOptions {
	return frontend.PlanOptions{
		Dockerfile: in.Dockerfile, Filename: in.Filename, Ignore: in.Ignore,
		Target: o.Target, Platforms: in.Platforms, BuildPlatform: in.BuildPlatform,
		BuildArgs: in.BuildArgs, Contexts: in.Contexts, Again: o.Again,
		VCS:    planner.VCS{Source: in.VCS["source"], Revision: in.VCS["revision"], Version: in.VCS["version"]},
		Commit: in.VCS,
		Folder: func(path string) (fs.FS, error) { // until the process ends
			if view, err := from.folder(c.ctx, path); view != nil || err != nil {
				return view, err
			}
			return request.OpenTree(c.ctx, path)
		},
	}
}

// planLLB prints the LLB of a build. It needs a builder, which resolves the images.
func (c *command) planLLB(f *planFlags) error {
	if f.llb != "json" && f.llb != "dot" {
		return fmt.Errorf("--llb %q: one of json, dot", f.llb)
	}
	f.Call = request.ConvertLLB
	h := c.host()
	if _, err := c.useBundle(&f.Options, f.bundle, &h); err != nil {
		return err
	}
	req, err := request.New(c.ctx, f.Options, h)
	if err != nil {
		return err
	}
	res, err := c.solve(&frontend.Frontend{Again: f.Again, Folders: req.Folders()}, req, f.builder, progressui.QuietMode, watcher{})
	if err != nil {
		return err
	}
	llb := res.metadata["result.json"]
	if len(llb) == 0 {
		return errors.New("the frontend has no LLB for this build")
	}
	if f.llb == "dot" {
		return request.WriteDot(c.stdout, llb)
	}
	_, err = fmt.Fprintf(c.stdout, "%s\n", llb)
	return err
}
