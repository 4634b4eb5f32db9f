package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/spf13/cobra"
)

func (c *command) bundleVerify() *cobra.Command {
	var f trustFlags
	var keys imageKeyFlags
	var sums []string
	var since string
	var again rebuildFlags
	var progress string
	cmd := &cobra.Command{
		Use:   "verify [OPTIONS] BUNDLE",
		Short: "Check every digest and checksum of a bundle",
		Long: "Check every digest, every module's and go.mod file's h1 checksum, and toolchains against\n" +
			"their pins and the copy of the checksum database that the bundle carries. It is an error\n" +
			"if nothing vouches for a toolchain.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := c.trust(f)
			if err != nil {
				return err
			}
			b, err := openOn(c.ctx, args[0], since, t)
			if err != nil {
				return err
			}
			n, err := again.count()
			if err != nil {
				return err
			}
			if err := c.verifyWhole(b, sums, progress); err != nil {
				return err
			}
			if err := c.verifyImages(b, keys); err != nil {
				return err
			}
			if err := c.rebuild(b, n, again, progress); err != nil {
				return err
			}
			if s := b.Signed(); s != nil {
				fmt.Fprintf(c.stdout, "signed by %s, with the serial %d, at %s\n", strings.Join(s.By, ", "), s.Serial, s.Time.Format(time.RFC3339))
			}
			return nil
		},
		Example: `  larder bundle verify bundle
  larder bundle verify --go-sum go.sum --key release.key.pub bundle`,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringArrayVar(&sums, "go-sum", nil, "Check that the bundle has all that a go.sum file lists, with its hashes")
	f.register(cmd.Flags())
	keys.register(cmd.Flags())
	again.register(cmd.Flags())
	progressFlag(cmd, &progress)
	sinceFlag(cmd, &since)
	return cmd
}

// verifyWhole checks a bundle, and prints what is right.
func (c *command) verifyWhole(b *bundle.Bundle, sums []string, progress string) error {
	set, err := readSums(sums)
	if err != nil {
		return err
	}
	key, err := modfetch.DatabaseKey(c.env["GOSUMDB"])
	if err != nil {
		return err
	}
	d, err := c.display(progress)
	if err != nil {
		return err
	}
	got, err := b.Verify(c.ctx, set, key, d)
	d.Close()
	if err != nil {
		return err
	}
	rest := ""
	if got.Unproved > 0 {
		rest = fmt.Sprintf(", and for %d only the bundle itself: compare these by --go-sum", got.Unproved)
	}
	recorded := ""
	if got.Answers > 0 {
		recorded = fmt.Sprintf(", %d recorded answers", got.Answers)
	}
	if got.Compiled > 0 {
		recorded += fmt.Sprintf(", %d layers of compiled packages", got.Compiled)
	}
	fmt.Fprintf(c.stdout, "%s is whole: %d blobs (%s), %d modules, %d go.mod files, %d toolchains, %d images, %d tools, %d files%s; the checksum database vouches for %d hashes%s\n",
		b.Dir(), got.Blobs, units.HumanSize(float64(got.Bytes)), got.Modules, got.GoMods, got.Toolchains, got.Images, got.Tools, got.Files, recorded, got.SumDB, rest)
	return nil
}

func readSums(names []string) (gomod.Set, error) {
	var files []gomod.File
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return gomod.Set{}, fmt.Errorf("--go-sum: %w", err)
		}
		files = append(files, gomod.File{Name: name, Data: data})
	}
	return gomod.ParseSums(files...)
}

func (c *command) bundleInspect() *cobra.Command {
	var f trustFlags
	var format string
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] BUNDLE",
		Short: "Tell what a bundle is, as JSON or as a bill of materials",
		Args:  exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := c.open(args[0], f)
			if err != nil {
				return err
			}
			created, err := c.now()
			if err != nil {
				return err
			}
			for _, finding := range b.Findings() {
				c.warn(finding)
			}
			switch format {
			case "json":
			case "spdx":
				return b.WriteSPDX(c.ctx, c.stdout, larderVersion(), created)
			case "cyclonedx":
				return b.WriteCycloneDX(c.ctx, c.stdout, larderVersion(), created)
			default:
				return fmt.Errorf("--format %q: one of json, spdx, cyclonedx", format)
			}
			items, err := b.Items(c.ctx)
			if err != nil {
				return err
			}
			sets, err := b.Sets(c.ctx)
			if err != nil {
				return err
			}
			return c.printJSON(struct {
				Digest string            `json:"digest"`
				Since  string            `json:"since,omitempty"`
				Sets   []string          `json:"sets"`
				Images map[string]string `json:"images"`
				Items  []bundle.Item     `json:"items"`
				Signed *bundle.Signed    `json:"signed,omitempty"`

				// Findings are what is wrong with it at a glance: 'larder bundle verify' tells all.
				Findings []string `json:"findings,omitempty"`
			}{b.Digest().String(), b.Since().String(), sets, imageDigests(b), items, b.Signed(), b.Findings()})
		},
		Example:               `  larder bundle inspect --format spdx bundle >bundle.spdx.json`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", "json", `Format ("json", "spdx" for SPDX 2.3, "cyclonedx" for CycloneDX 1.6)`)
	return cmd
}

func imageDigests(b *bundle.Bundle) map[string]string {
	out := map[string]string{}
	for name, desc := range b.Images() {
		out[name] = desc.Digest.String()
	}
	return out
}

func (c *command) printJSON(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (c *command) bundleLs() *cobra.Command {
	var f trustFlags
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS] BUNDLE",
		Aliases: []string{"list"},
		Short:   "List what is in a bundle",
		Args:    exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := c.open(args[0], f)
			if err != nil {
				return err
			}
			items, err := b.Items(c.ctx)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.stdout, 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "KIND\tNAME\tVERSION\tPLATFORM\tSIZE\tTIME\tORIGIN")
			for _, i := range items {
				at := ""
				if i.Time != nil {
					at = i.Time.Format(time.DateOnly)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Kind, i.Name, i.Version, i.Platform, units.HumanSize(float64(i.Size)), at, i.Origin)
			}
			return w.Flush()
		},
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	return cmd
}

func (c *command) bundleDiff() *cobra.Command {
	var f trustFlags
	cmd := &cobra.Command{
		Use:   "diff [OPTIONS] OLD NEW",
		Short: "List what a bundle has other than an older one",
		Args:  exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			both, err := c.openAll(f, args...)
			if err != nil {
				return err
			}
			changes, err := bundle.Diff(c.ctx, both[0], both[1])
			if err != nil {
				return err
			}
			for _, ch := range changes {
				switch {
				case ch.Old == nil:
					fmt.Fprintf(c.stdout, "+ %s (%s)\n", ch.New.ID(), units.HumanSize(float64(ch.New.Size)))
				case ch.New == nil:
					fmt.Fprintf(c.stdout, "- %s\n", ch.Old.ID())
				default:
					fmt.Fprintf(c.stdout, "! %s is not the same in both\n", ch.New.ID())
				}
			}
			return nil
		},
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	return cmd
}

// tellBundle prints what a finished bundle holds.
func (c *command) tellBundle(b *bundle.Bundle) error {
	items, err := b.Items(c.ctx)
	if err != nil {
		return err
	}
	count, size := map[string]int{}, int64(0)
	for _, i := range items {
		count[i.Kind]++
		size += i.Size
	}
	fmt.Fprintf(c.stdout, "%s: %s\n", b.Dir(), b.Digest())
	for _, finding := range b.Findings() {
		c.warn(finding)
	}
	if since := b.Since(); since != "" {
		fmt.Fprintf(c.stdout, "a delta to %s: apply it there with 'larder bundle apply'\n", since)
	}
	recorded := ""
	if n := count[bundle.KindAnswer]; n > 0 {
		recorded = fmt.Sprintf(", %d recorded answers", n)
	}
	if n := count[bundle.KindCompiled]; n > 0 {
		recorded += fmt.Sprintf(", %d layers of compiled packages", n)
	}
	fmt.Fprintf(c.stdout, "%d modules, %d go.mod files, %d toolchains, %d images, %d tools%s: %s\n", count[bundle.KindModule], count[bundle.KindGoMod],
		count[bundle.KindToolchain], count[bundle.KindImage], count[bundle.KindTool], recorded, units.HumanSize(float64(size)))
	return nil
}
