package dockerfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/suggest"
)

// goSubcommands are the subcommands that GO runs. None of them writes the source tree or the module cache.
var goSubcommands = []string{"build", "doc", "env", "help", "install", "list", "mod", "run", "test", "tool", "version", "vet"}

// refused says what to do instead of a subcommand that GO can't run, because the source tree and the module cache are
// read-only.
var refused = map[string]string{
	"generate":     "it writes the source tree: run it in a stage of its own with RUN on a copy of the sources, and build from that with GO --from=STAGE",
	"fix":          "it writes the source tree: run 'go fix' where the sources are kept",
	"fmt":          "it writes the source tree: run 'go fmt' where the sources are kept; GO vet checks without writing",
	"get":          "it writes go.mod: run 'go get' where the sources are kept, and commit go.mod and go.sum",
	"work":         "it writes go.work: run 'go work' where the sources are kept",
	"clean":        "there is nothing to clean: no cache is part of the image",
	"bug":          "it opens a browser",
	"telemetry":    "there is no telemetry in a build",
	"mod tidy":     "it writes go.mod and go.sum: run 'go mod tidy' where the sources are kept, and commit them",
	"mod download": "it isn't needed: the modules of go.sum are mounted already: leave the line out",
	"mod vendor":   "it writes the source tree: run 'go mod vendor' where the sources are kept, or leave it out: the modules are mounted",
	"mod edit":     "it writes go.mod: run 'go mod edit' where the sources are kept",
	"mod init":     "it writes go.mod: run 'go mod init' where the sources are kept",
	"env -w":       "it writes a file that no build reads: use ENV",
	"env -u":       "it writes a file that no build reads: use ENV",
}

// modSubcommands are the subcommands of "go mod" that only read.
var modSubcommands = []string{"graph", "verify", "why"}

func (f *File) checkSubcommand(g *GoLine) error {
	name := g.Words[0]
	switch {
	case name == "":
		return f.ErrorAt(g.Node, `""`, `GO "": expected a subcommand of the go command, such as GO build ./...`)
	case strings.Contains(name, "$"):
		return f.ErrorAt(g.Node, name, fmt.Sprintf("GO %s: the subcommand can't be a variable: it decides what the step is given", name))
	case name == instructionGo:
		return f.ErrorAt(g.Node, g.Node.Original, "GO go …: the instruction is the command: leave the second go out")
	case strings.HasPrefix(name, "-"):
		return f.ErrorAt(g.Node, name, fmt.Sprintf("GO %s: expected a subcommand: flags of GO start with two dashes, those of the go command come after the subcommand", name))
	}
	if name == "mod" || name == "env" {
		if len(g.Words) > 1 {
			name += " " + g.Words[1]
		} else if name == "mod" {
			return f.ErrorAt(g.Node, name, "GO mod with nothing after it: expected one of "+strings.Join(modSubcommands, ", "))
		}
	}
	if advice := refused[name]; advice != "" {
		return f.ErrorAt(g.Node, g.Words[0], fmt.Sprintf("GO %s is refused: %s", name, advice))
	}
	if err := f.checkVersionArgs(g); err != nil {
		return err
	}
	word, known := g.Words[0], goSubcommands
	if word == "mod" {
		word, known = g.Words[1], modSubcommands
	}
	if slices.Contains(known, word) {
		return nil
	}
	options := slices.Clone(known)
	if g.Words[0] != "mod" {
		for other := range refused {
			if !strings.Contains(other, " ") {
				options = append(options, other)
			}
		}
		slices.Sort(options)
	}
	err := fmt.Errorf("GO %s: unknown subcommand: expected one of %s", strings.TrimSpace(name), strings.Join(known, ", "))
	return parser.WithLocation(suggest.WrapError(err, word, options, true), f.Find(g.Node, word))
}

// checkVersionArgs refuses arguments such as x@v1 of "install" and "run": no go.sum lists the module that they need.
func (f *File) checkVersionArgs(g *GoLine) error {
	if g.Words[0] != "install" && g.Words[0] != "run" {
		return nil
	}
	for _, arg := range g.Words[1:] {
		if strings.HasPrefix(arg, "-") || strings.Contains(arg, "$") {
			continue
		}
		if pkg, version, ok := strings.Cut(arg, "@"); ok {
			return f.ErrorAt(g.Node, arg, fmt.Sprintf("GO %s %s is refused: no go.sum lists that module, so it can't be checked: run 'go get -tool %s@%s' where the sources are kept, commit go.mod and go.sum, and write GO install tool or GO tool %s", g.Words[0], arg, pkg, version, lastElement(pkg)))
		}
		if g.Words[0] == "run" {
			break // what follows the package is its own
		}
	}
	return nil
}

func lastElement(pkg string) string { return pkg[strings.LastIndexByte(pkg, '/')+1:] }
