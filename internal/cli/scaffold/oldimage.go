package scaffold

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// An oldImage has the image settings of a stage in the existing Dockerfile.
type oldImage struct {
	name   string // of the stage
	ports  []string
	labels []label
	user   instructionWords
	entry  instructionWords // ENTRYPOINT
	cmd    instructionWords
	dir    string            // WORKDIR
	copied map[string]string // programs by where they are, and what they were called before
	others map[string]int    // instructions that aren't kept, and their lines
}

// A label is a name and a value.
type label struct{ name, value string }

// An instructionWords has the words of an instruction and its line, which is 0 if there is no such instruction.
type instructionWords struct {
	words []string
	line  int
	shell bool // the words are the text of a shell's
}

// readImages reads the stages of a Dockerfile. A stage inherits the settings of its base stage.
func readImages(ast *parser.Result) (images []*oldImage, unread []string) {
	lex := shell.NewLex(ast.EscapeToken)
	var at *oldImage
	for _, n := range ast.AST.Children {
		words := wordsOf(n)
		if strings.EqualFold(n.Value, command.From) {
			at = newOldImage(words, images)
			images = append(images, at)
		} else if at != nil {
			unread = append(unread, at.read(n, words, lex)...)
		}
	}
	return images, unread
}

func newOldImage(words []string, before []*oldImage) *oldImage {
	i := &oldImage{dir: "/", copied: map[string]string{}, others: map[string]int{}}
	for _, b := range before {
		if len(words) > 0 && b.name != "" && strings.EqualFold(words[0], b.name) {
			*i = *b
			i.ports, i.labels, i.copied, i.others = slices.Clone(b.ports), slices.Clone(b.labels), map[string]string{}, map[string]int{}
		}
	}
	i.name = ""
	if len(words) == 3 {
		i.name = strings.ToLower(words[2])
	}
	return i
}

func wordsOf(n *parser.Node) (words []string) {
	for w := n.Next; w != nil; w = w.Next {
		words = append(words, w.Value)
	}
	return words
}

// read takes over the settings of an instruction, and returns messages about those that it can't take over.
func (i *oldImage) read(n *parser.Node, words []string, lex *shell.Lex) (unread []string) {
	what := instructionWords{words: words, line: n.StartLine, shell: !n.Attributes["json"]}
	switch name := strings.ToLower(n.Value); name {
	case command.Expose:
		i.ports = append(i.ports, words...)
	case command.User:
		i.user = what
	case command.Entrypoint:
		i.entry = what
		i.cmd = instructionWords{} // as a build has it: a base's is no more
	case command.Cmd:
		i.cmd = what
	case command.Label:
		return i.addLabels(n, words, lex)
	case command.Workdir:
		if len(words) == 1 && path.IsAbs(words[0]) {
			i.dir = words[0]
		} else if len(words) == 1 {
			i.dir = path.Join(i.dir, words[0])
		}
		i.others["WORKDIR"] = n.StartLine
	case command.Copy:
		i.addCopy(n, words)
	case command.Env, command.Healthcheck, command.Volume, command.StopSignal, command.Shell:
		i.others[strings.ToUpper(name)] = n.StartLine
	}
	return nil
}

// addLabels reads the parser's triples of name, value and separator.
func (i *oldImage) addLabels(n *parser.Node, words []string, lex *shell.Lex) (unread []string) {
	for ; len(words) >= 3; words = words[3:] {
		name, err := lex.ProcessWordWithMatches(words[0], shell.EnvsFromSlice(nil))
		value, err2 := lex.ProcessWordWithMatches(words[1], shell.EnvsFromSlice(nil))
		if err != nil || err2 != nil || len(name.Unmatched)+len(value.Unmatched) > 0 || strings.ContainsAny(value.Result, "\n\r") {
			unread = append(unread, fmt.Sprintf("%s:%d: LABEL %s isn't kept: its value isn't known before the build", Dockerfile, n.StartLine, words[0]))
			continue
		}
		i.labels = slices.DeleteFunc(i.labels, func(l label) bool { return l.name == name.Result })
		i.labels = append(i.labels, label{name.Result, value.Result})
	}
	return unread
}

// addCopy notes files that come from another stage, because one may be a program.
func (i *oldImage) addCopy(n *parser.Node, words []string) {
	if !slices.ContainsFunc(n.Flags, func(f string) bool { return strings.HasPrefix(f, "--from=") }) || len(words) < 2 {
		return
	}
	dest := words[len(words)-1]
	for _, source := range words[:len(words)-1] {
		to := path.Join(i.dir, dest)
		if path.IsAbs(dest) {
			to = path.Clean(dest)
		}
		if strings.HasSuffix(dest, "/") || dest == "." || len(words) > 2 {
			to = path.Join(to, path.Base(source))
		}
		i.copied[to] = path.Base(source)
	}
}

// plainCommand matches a command in shell form that the shell only starts.
var plainCommand = regexp.MustCompile(`^(?:exec )?([A-Za-z0-9_./:=,@%+ -]+)$`)

// command returns the words of an ENTRYPOINT or CMD.
func (l instructionWords) command() []string {
	if !l.shell {
		return l.words
	}
	m := plainCommand.FindStringSubmatch(strings.Join(l.words, " "))
	if m == nil {
		return nil
	}
	return strings.Fields(m[1])
}

// wrappers start another program.
var wrappers = []string{"tini", "dumb-init", "docker-init", "catatonit", "sh", "bash", "ash", "env", "su-exec", "gosu", "setpriv", "entrypoint", "docker-entrypoint"}

// program returns the index of the word of a command that is a program, by one of the program's names, and its place in
// the image. If only is true, no other program can be meant.
func (i *oldImage) program(words []string, p *Program, only bool) (at int, place string, ok bool) {
	called := []string{p.Name, p.Stage, binaryName(p.Import), path.Base(p.Dir)}
	for at, word := range words {
		place := word
		switch {
		case path.IsAbs(word):
		case strings.Contains(word, "/"):
			place = path.Join(i.dir, word)
		default:
			place = "/usr/local/bin/" + word
		}
		before := i.copied[place]
		if slices.Contains(called, path.Base(word)) || before != "" && (only || slices.Contains(called, before)) {
			return at, place, true
		}
		if only && at == 0 && !slices.Contains(wrappers, strings.TrimSuffix(path.Base(word), ".sh")) && path.Ext(word) != ".sh" && !strings.HasPrefix(word, "-") {
			return at, place, true
		}
	}
	return 0, "", false
}

// starts reports whether an image's command starts a program.
func (i *oldImage) starts(p *Program) bool {
	_, _, byEntry := i.program(i.entry.command(), p, false)
	_, _, byCmd := i.program(i.cmd.command(), p, false)
	return byEntry || i.entry.line == 0 && byCmd
}
