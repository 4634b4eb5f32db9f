package scaffold

import (
	"regexp"
	"slices"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// koFields maps the values of git and the time in ko's templates to the build arguments that replace them:
// https://ko.build/configuration/#templating-support
var koFields = map[string]string{
	".Git.Branch": "GIT_BRANCH", ".Git.Tag": "GIT_TAG", ".Git.ShortCommit": "GIT_SHORT_COMMIT", ".Git.FullCommit": "GIT_COMMIT",
	".Git.CommitDate": "GIT_COMMIT_DATE", ".Git.CommitTimestamp": "GIT_COMMIT_TIMESTAMP", ".Git.IsDirty": "GIT_IS_DIRTY",
	".Git.IsClean": "GIT_IS_CLEAN", ".Git.TreeState": "GIT_TREE_STATE", ".Date": "BUILD_DATE", ".Timestamp": "BUILD_TIMESTAMP",
	".GoEnv.GOOS": "TARGETOS", ".GoEnv.GOARCH": "TARGETARCH",
}

// A word is a text with build arguments in it: literal, name, literal, name, …, literal.
type word []string

// parseTemplate reads a text of a .ko.yaml, which may be a template of ko, in Go's syntax. Template values
// become build arguments.
func parseTemplate(it item) (word, error) {
	var w word
	rest := it.text
	for {
		before, after, ok := strings.Cut(rest, "{{")
		if w = append(w, before); !ok {
			return w, nil
		}
		action, after, ok := strings.Cut(after, "}}")
		if !ok {
			return nil, koError(it.line, "%q: a {{ has no }}", it.text)
		}
		field := strings.TrimSpace(action)
		name := koFields[field]
		if env, ok := strings.CutPrefix(field, ".Env."); ok && variableName.MatchString(env) {
			name = env
		}
		if name == "" {
			return nil, koError(it.line, "the template {{%s}} has no counterpart: use {{.Env.NAME}}, which becomes the build argument NAME", action)
		}
		w = append(w, name)
		rest = after
	}
}

// arguments returns the names of the build arguments in words, sorted.
func arguments(words ...word) []string {
	var names []string
	for _, w := range words {
		for i := 1; i < len(w); i += 2 {
			names = append(names, w[i])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)

// quote returns a word, quoted for a GO line or an ENV.
func (w word) quote() string {
	if len(w) == 1 && plainWord.MatchString(w[0]) {
		return w[0]
	}
	return `"` + w.inQuotes() + `"`
}

// inQuotes returns a word in the form that it has between double quotes.
func (w word) inQuotes() string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`)
	var b strings.Builder
	for i, part := range w {
		if i%2 == 0 {
			b.WriteString(escape.Replace(part))
		} else {
			b.WriteString("${" + part + "}")
		}
	}
	return b.String()
}

// join puts a word behind another, with a space between them.
func (w word) join(next word) word {
	if len(w) == 0 {
		return next
	}
	last := len(w) - 1
	joined := append(slices.Clone(w[:last]), w[last]+" "+next[0])
	return append(joined, next[1:]...)
}

// oneLine refuses a text that can't be on a line of a Dockerfile.
func oneLine(it item) error {
	if strings.ContainsFunc(it.text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return koError(it.line, "%q: expected a text of one line", it.text)
	}
	return nil
}
