package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/larder-build/larder/internal/gowords"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// BinaryContext returns the name of the context that holds the built binary of a package, as a tree to be laid over /.
func BinaryContext(pkg Package) string { return ContextPrefix + "bin-" + pkg.Stage }

// levelZeroFile writes the Dockerfile that a file without instructions stands for: a stage for each main package. The
// user's own comments stay at its head, since they hold directives. SOURCE_DATE_EPOCH has a default here, so that the
// same sources give the same image whenever they are built.
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

// levelZeroFlags returns the flags of go build that a file without instructions stands for, but for what GOFLAGS says
// itself: flags given to go would outdo it.
func levelZeroFlags(goflags string) (flags []string, err error) {
	words, err := gowords.Quoted(goflags)
	if err != nil {
		return nil, fmt.Errorf("GOFLAGS=%s: %w", goflags, err)
	}
	if asksVCS(words) {
		return nil, errors.New("GOFLAGS has -buildvcs, and a build without instructions stamps no commit: write a Dockerfile with FROM go and GO build -buildvcs, or leave it out")
	}
	given := map[string]bool{}
	for _, word := range words {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		given[name] = true
	}
	if !given["trimpath"] {
		flags = append(flags, "-trimpath")
	}
	flags = append(flags, "-buildvcs=false")
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

// quote writes a string as a double-quoted word of a Dockerfile, free of expansion.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(s) + `"`
}

// wrap puts the position of a FROM line on an error.
func (b Base) wrap(err error) error { return parser.WithLocation(err, b.stage.Location) }
