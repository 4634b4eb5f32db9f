package planner

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/commit"
	"github.com/larder-build/larder/internal/golang/gowords"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// BinaryContext returns the name of the context that holds a package's binary, in the folder where the image has it.
func BinaryContext(pkg Package) string { return ContextPrefix + "bin-" + pkg.Stage }

// levelZeroFile writes the Dockerfile of a build without instructions: one stage for each main package. The user's own
// comments stay at its head, since they hold directives. SOURCE_DATE_EPOCH has a default here, so that the same sources
// always give the same image.
func (p *Plan) levelZeroFile(req Request) string {
	var b strings.Builder
	if head := strings.TrimRight(string(req.File.Data), "\n"); head != "" {
		b.WriteString(head + "\n")
	}
	b.WriteString("ARG SOURCE_DATE_EPOCH=0\n")
	for _, pkg := range p.Packages {
		fmt.Fprintf(&b, "\nFROM %s AS %s\n", StaticContext, pkg.Stage)
		for _, l := range labels(pkg, req.VCS) {
			fmt.Fprintf(&b, "LABEL %s=%s\n", l[0], quote(l[1]))
		}
		fmt.Fprintf(&b, "COPY --link --from=%s / /\n", BinaryContext(pkg))
		entrypoint, _ := json.Marshal([]string{"/usr/local/bin/" + pkg.Name})
		fmt.Fprintf(&b, "ENTRYPOINT %s\n", entrypoint)
	}
	return b.String()
}

// levelZeroCommit returns the commit that a build without instructions writes into its program. As with go build, that
// is what is known of it, and nothing if GOFLAGS turns it off.
func (r Request) levelZeroCommit(wide Wide) (*commit.Commit, error) {
	words, err := gowords.Quoted(r.BuildArgs["GOFLAGS"])
	if err != nil {
		return nil, nil // which is told with the other flags
	}
	flag := vcsFlag(words)
	if flag == "false" {
		return nil, nil
	}
	c, err := r.commit()
	switch {
	case err != nil:
		return nil, fmt.Errorf("which commit is built: %w", err)
	case c == nil && flag == "true" && !r.Describe:
		return nil, fmt.Errorf("GOFLAGS has -buildvcs: %s, or leave it out", unknownCommit)
	case c != nil && len(wide.Outside) > 0:
		c.Inner = true // the root of what is mounted isn't the repository's
	}
	return c, nil
}

// stamp adds a commit to a package. If layers travel, a separate step compiles what is linked, so that the commit isn't
// in its key.
func (p *Plan) stamp(req Request, pkg *Package, c *commit.Commit) {
	pkg.Commit, pkg.Slice = c, p.repository(req.Tree, pkg.Slice, "source-"+pkg.Stage)
	if pkg.Deps == nil || pkg.Deps.Standard {
		return
	}
	args, _ := dockerfile.CompileArgs(append(slices.Clone(p.Flags), pkg.Dir))
	flags, _ := dockerfile.CompileArgs(strings.Fields(req.BuildArgs["GOFLAGS"]))
	pkg.Compiled = &Compile{Context: ContextPrefix + "compiled-" + pkg.Stage, For: pkg.Deps.For, Deps: pkg.Deps, Args: args}
	if len(flags) > 0 {
		pkg.Compiled.Env = []string{"GOFLAGS=-mod=readonly " + strings.Join(flags, " ")}
	}
	p.Compiled = append(p.Compiled, pkg.Compiled)
}

// levelZeroFlags returns the flags of go build for a build without instructions. It leaves out flags that GOFLAGS sets,
// because they would override GOFLAGS.
func levelZeroFlags(goflags string, stamped bool) (flags []string, err error) {
	words, err := gowords.Quoted(goflags)
	if err != nil {
		return nil, fmt.Errorf("GOFLAGS=%s: %w", goflags, err)
	}
	given := map[string]bool{}
	for _, word := range words {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		given[name] = true
	}
	if !given["trimpath"] {
		flags = append(flags, "-trimpath")
	}
	flags = append(flags, "-buildvcs="+strconv.FormatBool(stamped))
	if !given["ldflags"] {
		flags = append(flags, "-ldflags=-s -w")
	}
	return flags, nil
}

func labels(pkg Package, vcs VCS) [][2]string {
	const prefix = "org.opencontainers.image."
	var out [][2]string
	for _, l := range [][2]string{{"title", pkg.Name}, {"source", vcs.Source}, {"version", vcs.Version}, {"revision", vcs.Revision}} {
		if l[1] != "" {
			out = append(out, [2]string{prefix + l[0], l[1]})
		}
	}
	return out
}

// quote quotes a string for a Dockerfile, so that nothing in it is expanded.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(s) + `"`
}

// wrap adds the position of the FROM line to an error.
func (b Base) wrap(err error) error { return parser.WithLocation(err, b.stage.Location) }
