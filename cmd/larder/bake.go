package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/docker/buildx/util/buildflags"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/cli/bakefile"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/larder-build/larder/internal/redact"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// bakeFlags are the flags of larder bake, in the words of docker buildx bake.
type bakeFlags struct {
	since string // a commit
	bakefile.Request
	builder             builder.Options
	bundle              bundleFlags
	sbom, provenance    string
	call, list          string
	progress            string
	metadataFile        string
	check, print        bool
	load, push          bool
	noCache, pull       bool
	noCacheSet, pullSet bool
}

func (c *command) bake() *cobra.Command {
	f := &bakeFlags{}
	cmd := &cobra.Command{
		Use:   "bake [OPTIONS] [URL] [TARGET...]",
		Short: "Build from a file",
		Long: "Build the targets of a file: docker-bake.hcl, docker-bake.json or a Compose file,\n" +
			"all at once and on one builder. The file, and what its targets are built from, may be\n" +
			"at the URL of a git repository or an archive.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.Targets = args; f.since != "" && f.URL() != "" {
				return usageError{fmt.Errorf("--since %s: expected a definition in a working tree, not at %s", f.since, redact.URL(f.URL()))}
			}
			f.noCacheSet, f.pullSet = cmd.Flags().Changed("no-cache"), cmd.Flags().Changed("pull")
			return c.runBake(f)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			l, err := bakefile.List(c.ctx, f.Request)
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			var names []string
			for _, t := range l.Config.Targets {
				names = append(names, t.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		Example: `  larder bake --print
  larder bake --set '*.platform=linux/arm64' --push api worker
  larder bake https://git.example.com/team/shop.git#v2 api`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("print", "list")
	return cmd
}

func (f *bakeFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.Allow, "allow", nil, `Allow build to access specified resources (e.g., "fs.read=..", "network.host")`)
	f.bundle.register(flags)
	flags.StringVar(&f.call, "call", "build", `Set method for evaluating build ("check", "outline", "targets")`)
	flags.BoolVar(&f.check, "check", false, `Shorthand for "--call=check"`)
	flags.StringArrayVarP(&f.Files, "file", "f", nil, "Build definition file")
	flags.StringVar(&f.list, "list", "", `List targets or variables ("targets", "variables")`)
	flags.BoolVar(&f.load, "load", false, `Shorthand for "--set=*.output=type=docker"`)
	flags.StringVar(&f.metadataFile, "metadata-file", "", "Write build result metadata to a file")
	flags.BoolVar(&f.noCache, "no-cache", false, "Do not use cache when building the image")
	flags.BoolVar(&f.print, "print", false, "Print the options without building")
	flags.StringVar(&f.progress, "progress", "auto", `Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show container output`)
	flags.StringVar(&f.provenance, "provenance", "", `Shorthand for "--set=*.attest=type=provenance"`)
	flags.BoolVar(&f.pull, "pull", false, "Always attempt to pull all referenced images")
	flags.BoolVar(&f.push, "push", false, `Shorthand for "--set=*.output=type=registry"`)
	flags.StringVar(&f.sbom, "sbom", "", `Shorthand for "--set=*.attest=type=sbom"`)
	flags.StringArrayVar(&f.Overrides, "set", nil, `Override target value (e.g., "targetpattern.key=value")`)
	flags.StringVar(&f.since, "since", "", "Build only targets that differ since a commit, tag or branch")
	flags.StringArrayVar(&f.Vars, "var", nil, `Set a variable value (e.g., "name=value")`)
	builderFlags(flags, &f.builder)
}

// shorthands adds the overrides that flags such as --push are short for.
func (f *bakeFlags) shorthands() {
	add := func(set bool, format string, args ...any) {
		if set {
			f.Overrides = append(f.Overrides, "*."+fmt.Sprintf(format, args...))
		}
	}
	add(f.push, "push=true")
	add(f.load, "load=true")
	add(f.call != "build" && f.call != "", "call=%s", f.call)
	add(f.noCacheSet, "no-cache=%t", f.noCache)
	add(f.pullSet, "pull=%t", f.pull)
	add(f.sbom != "", "attest=%s", buildflags.CanonicalizeAttest("sbom", f.sbom))
	add(f.provenance != "", "attest=%s", buildflags.CanonicalizeAttest("provenance", f.provenance))
}

func (c *command) runBake(f *bakeFlags) (err error) {
	if f.check {
		f.call = "check"
	}
	f.Stdin, f.Epoch = c.stdin, c.env["SOURCE_DATE_EPOCH"]
	mode, err := c.displayMode(&buildFlags{progress: f.progress})
	if err != nil {
		return err
	}
	f.bundle.progress = displayOf(mode)
	f.Fetch = c.fetchDefinition(&f.builder, mode)
	if f.list != "" {
		return c.listBake(f)
	}
	f.shorthands()
	def, err := bakefile.Read(c.ctx, f.Request)
	if err != nil {
		return err
	}
	if f.since != "" {
		if err := c.bakeSince(def, f); err != nil {
			return err
		}
	}
	if len(def.Targets) == 0 && !f.print {
		c.warn(fmt.Sprintf("since %s nothing differs that these targets read: nothing is built", f.since))
		return nil
	}
	if f.print {
		return def.WriteJSON(c.stdout)
	}
	if err := def.CheckAccess(c.ctx, c.stderr); err != nil {
		return err
	}
	if err := def.CheckOutputs(); err != nil {
		return err
	}
	from, err := c.openBundle(f.bundle)
	if err != nil {
		return err
	}
	targets, err := c.bakeTargets(def, from, f)
	if err != nil {
		return err
	}
	replayed, err := c.replayFrom(from, &f.builder, recordAgain(f.bundle.name, request.Options{Context: "."}))
	if err != nil {
		return err
	}
	defer func() { err = replayed.finish(c, err) }()
	for _, t := range targets {
		t.places = replayed.answer(t.req, t.fe)
	}
	err = c.buildAll(targets, f.builder, mode)
	if err != nil || f.metadataFile == "" {
		return errors.Join(err, c.answers(targets))
	}
	return errors.Join(writeBakeMetadata(f.metadataFile, targets), c.answers(targets))
}

// listBake prints the targets or the variables that the files define, as bake does.
func (c *command) listBake(f *bakeFlags) error {
	what, asJSON := f.list, false
	for field := range strings.SplitSeq(f.list, ",") {
		switch key, value, named := strings.Cut(field, "="); {
		case !named:
			what = field
		case key == "type":
			what = value
		case key == "format" && (value == "json" || value == "table"):
			asJSON = value == "json"
		default:
			return usageError{fmt.Errorf(`--list %s: expected "targets", "variables", or type=TYPE,format=json`, f.list)}
		}
	}
	if what != "targets" && what != "variables" {
		return usageError{fmt.Errorf("--list %s: expected targets or variables", f.list)}
	}
	l, err := bakefile.List(c.ctx, f.Request)
	if err != nil {
		return err
	}
	if what == "variables" {
		return printBakeVariables(c.stdout, l, asJSON)
	}
	return printBakeTargets(c.stdout, l, asJSON)
}

func printBakeTargets(w io.Writer, l *bakefile.Listing, asJSON bool) error {
	type row struct {
		Name        string `json:"name"`
		Description string `json:"description,omitempty"`
		Group       bool   `json:"group,omitempty"`
	}
	var rows []row
	for _, g := range l.Config.Groups {
		about := strings.Join(slices.Sorted(slices.Values(g.Targets)), ", ")
		if g.Description != "" {
			about = g.Description + " (" + about + ")"
		}
		rows = append(rows, row{g.Name, about, true})
	}
	for _, t := range l.Config.Targets {
		if !strings.HasPrefix(t.Name, "_") { // by custom one that others inherit from
			rows = append(rows, row{Name: t.Name, Description: t.Description})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.Name, b.Name) })
	if asJSON {
		return json.NewEncoder(w).Encode(rows)
	}
	tw := tabwriter.NewWriter(w, 1, 8, 1, '\t', 0)
	fmt.Fprintln(tw, "TARGET\tDESCRIPTION")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%s\n", r.Name, r.Description)
	}
	return tw.Flush()
}

func printBakeVariables(w io.Writer, l *bakefile.Listing, asJSON bool) error {
	variables := slices.Clone(l.Variables)
	slices.SortFunc(variables, func(a, b *bakefile.Variable) int { return strings.Compare(a.Name, b.Name) })
	if asJSON {
		return json.NewEncoder(w).Encode(variables)
	}
	tw := tabwriter.NewWriter(w, 1, 8, 1, '\t', 0)
	fmt.Fprintln(tw, "VARIABLE\tTYPE\tVALUE\tDESCRIPTION")
	for _, v := range variables {
		value := "<null>"
		if v.Value != nil {
			value = *v.Value
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", v.Name, v.Type, value, v.Description)
	}
	return tw.Flush()
}
