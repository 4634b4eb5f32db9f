package dockerfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gowords"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/suggest"
)

const instructionGo = "go"

// A GoLine is a GO instruction:
//
//	GO [--FLAG=VALUE]… [--cgo[=BOOL]] [--mount=…]… SUBCOMMAND ARG…
//
// goFlags has the flags with a value. It is read by BuildKit's own parser and lexer, as RUN is, but no shell runs it.
type GoLine struct {
	Node    *parser.Node
	Rest    string   // what follows the flags, as it stands
	Words   []string // the words of rest, unexpanded
	From    string
	Module  string // a clean path, relative to the root of the source
	Cgo     string // "", "true" or "false"
	Network string
	Stdout  string
	JUnit   string
	Libs    string
	Mounts  []string
}

// addGoLine reads a GO instruction. It turns its node into a RUN, since BuildKit's parser of instructions doesn't know
// GO.
func (f *File) addGoLine(n *parser.Node, inStage bool) error {
	original := *n
	g := &GoLine{Node: &original}
	f.GoLines[n.StartLine] = g
	flags := n.Flags
	n.Value, n.Flags, n.Next, n.Attributes = "RUN", nil, &parser.Node{Value: n.Original}, nil
	if !inStage {
		return f.ErrorAt(g.Node, g.Node.Value, "GO before the first FROM: it needs a stage to run in: write FROM go before it")
	}
	if err := f.goFlags(g, flags); err != nil {
		return err
	}
	return f.goWords(g)
}

// goFlags parses the flags of a line.
func (f *File) goFlags(g *GoLine, args []string) error {
	flags := instructions.NewBFlagsWithArgs(args)
	values := make([]*instructions.Flag, len(goFlags))
	for i, flag := range goFlags {
		values[i] = flags.AddString(flag.name, flag.unset)
	}
	cgo, mounts := flags.AddBool("cgo", false), flags.AddStrings("mount")
	if err := flags.Parse(); err != nil {
		return parser.WithLocation(fmt.Errorf("GO: %w", err), f.findFlag(g.Node, err))
	}
	for i, flag := range goFlags {
		value := values[i].Value
		text := "--" + flag.name + "=" + value
		switch {
		case strings.ContainsRune(value, '$'):
			return f.ErrorAt(g.Node, text, fmt.Sprintf("GO %s: variables aren't expanded there: write the value out", text))
		case values[i].IsUsed() && value == "":
			return f.ErrorAt(g.Node, "--"+flag.name, fmt.Sprintf("GO --%s has no value", flag.name))
		case value != "" && !flag.valid(value):
			err := fmt.Errorf("GO %s: expected %s", text, flag.expected)
			return parser.WithLocation(suggest.WrapError(err, value, flag.options, true), f.Find(g.Node, text))
		}
		*flag.field(g) = value
	}
	g.Module, g.Mounts = path.Clean(g.Module), mounts.StringValues
	if cgo.IsUsed() {
		g.Cgo = cgo.Value
	}
	return f.goMounts(g)
}

// goMounts checks the mounts of a line as far as possible. BuildKit's converter sees them later, as mounts of a RUN.
func (f *File) goMounts(g *GoLine) error {
	for _, value := range g.Mounts {
		m, err := ParseMount(value)
		if err != nil {
			return parser.WithLocation(fmt.Errorf("GO --mount=%s: %w", value, err), f.Find(g.Node, value))
		}
		switch {
		case m.Kind == KindModules || m.Kind == KindCompileCache:
			return f.ErrorAt(g.Node, value, fmt.Sprintf("GO --mount=type=%s: GO has that mount always: leave it out", m.Kind))
		case slices.Contains([]string{step.Src, step.ModCache, step.LineCache, step.Dir}, path.Clean(m.Target)):
			return f.ErrorAt(g.Node, value, fmt.Sprintf("GO --mount=%s: %s is mounted by GO itself: choose another target", value, m.Target))
		}
	}
	return nil
}

// findFlag finds the place of the flag that an error of BuildKit's flag parser names.
func (f *File) findFlag(n *parser.Node, err error) []parser.Range {
	for _, word := range strings.FieldsFunc(err.Error(), func(r rune) bool { return strings.ContainsRune(" ,:", r) }) {
		if strings.HasPrefix(word, "--") {
			return f.Find(n, word)
		}
	}
	return n.Location()
}

// goWords splits the text after the flags into words, and checks the subcommand.
func (f *File) goWords(g *GoLine) error {
	var err error
	if g.Rest, err = f.restOf(g.Node); err != nil {
		return parser.WithLocation(err, g.Node.Location())
	}
	if strings.HasPrefix(g.Rest, "[") {
		return f.ErrorAt(g.Node, "[", "GO takes no JSON array: write the words as on a command line, GO build ./...")
	}
	if g.Words, err = gowords.Split(g.Rest, f.Escape); err != nil {
		return f.ErrorAt(g.Node, "", fmt.Sprintf("GO %s: %v: close it, or escape it with %c", Abbreviate(g.Rest), err, f.Escape))
	}
	if len(g.Words) == 0 {
		return f.ErrorAt(g.Node, g.Node.Value, "GO with nothing after it: expected a subcommand of the go command, such as GO build ./...")
	}
	if i := strings.Index(g.Rest, "<<"); i >= 0 && !strings.ContainsAny(g.Rest[:i], `'"`) {
		return f.ErrorAt(g.Node, "<<", "GO takes no heredoc: no shell reads it: write the file with COPY, or use RUN")
	}
	for _, word := range strings.Fields(g.Rest) {
		if slices.Contains(shellOperators, word) && slices.Contains(g.Words, word) {
			return f.ErrorAt(g.Node, word, fmt.Sprintf("GO … %s: no shell reads a GO line: write one GO line for each command; --stdout=FILE keeps what one prints", word))
		}
	}
	if g.Libs != "" && (!slices.Contains([]string{"build", "test"}, g.Words[0]) || !slices.ContainsFunc(g.Words, namesOutput)) {
		return f.ErrorAt(g.Node, "--libs", fmt.Sprintf("GO --libs=%s %s: the libraries of which programs isn't known: it is for GO build -o PATH, or GO test -c -o PATH", g.Libs, g.Words[0]))
	}
	if err := f.checkSubcommand(g); err != nil {
		return err
	}
	return f.checkJUnit(g)
}

// namesOutput reports whether a word of a go command is the flag -o.
func namesOutput(word string) bool {
	name, _, _ := strings.Cut(word, "=")
	return name == "-o" || name == "--o"
}

// shellOperators are words that mean a shell command. The go command has no such arguments, unless they are quoted.
var shellOperators = []string{"&&", "||", ";", "|", "&", ">", ">>", "<", "2>&1"}

// restOf returns the text after the flags of an instruction. It parses the text as a CMD, because BuildKit's parser
// doesn't change the text of that instruction.
func (f *File) restOf(n *parser.Node) (string, error) {
	text := "CMD" + strings.TrimPrefix(n.Original, n.Value) + "\n"
	if f.Escape != parser.DefaultEscapeToken {
		text = "# escape=" + string(f.Escape) + "\n" + text
	}
	ast, err := parser.Parse(strings.NewReader(text))
	switch {
	case err != nil:
		return "", fmt.Errorf("GO: %w", err)
	case len(ast.AST.Children) != 1:
		return "", errors.New("GO: not to be read as one line")
	case ast.AST.Children[0].Attributes["json"]:
		return "[", nil
	case ast.AST.Children[0].Next == nil:
		return "", nil
	}
	return ast.AST.Children[0].Next.Value, nil
}

// Abbreviate shortens a text for an error message.
func Abbreviate(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// flags returns the words after the subcommand, without those for a test binary.
func (g *GoLine) flags() []string {
	if i := slices.IndexFunc(g.Words, func(w string) bool { return w == "-args" || w == "--args" }); i > 0 {
		return g.Words[1:i]
	}
	return g.Words[1:]
}

// HasFlag reports whether a line has a flag that isn't set to false.
func (g *GoLine) HasFlag(name string) bool {
	return slices.ContainsFunc(g.flags(), func(word string) bool {
		flag, value, _ := strings.Cut(strings.TrimPrefix(word, "-"), "=")
		return strings.HasPrefix(word, "-") && strings.TrimPrefix(flag, "-") == name && value != "false"
	})
}

// RunsTests reports whether a line runs tests. A test line with -c only compiles them.
func (g *GoLine) RunsTests() bool {
	return len(g.Words) > 0 && g.Words[0] == "test" && !g.HasFlag("c")
}

// Writable returns the mount option for a line's source. It is ",rw" for fuzzing: the go command writes failing inputs
// into the tree. They are gone after the step.
func (g *GoLine) Writable() string {
	if g.RunsTests() && g.HasFlag("fuzz") {
		return ",rw"
	}
	return ""
}

func (f *File) checkJUnit(g *GoLine) error {
	if g.JUnit == "" || g.RunsTests() {
		return nil
	}
	return f.ErrorAt(g.Node, "--junit", fmt.Sprintf("GO --junit %s: only lines that run tests have results: write it on a GO test line", Abbreviate(g.Rest)))
}
