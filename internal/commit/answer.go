package commit

import (
	"fmt"
	"slices"
	"strings"
)

// Answer returns the stdout of git for a query of the go command. The query, args, doesn't include git's name. If it
// returns an error, git fails and the error is the text for stderr. The function read returns a file of the tree, by
// its path from the root.
//
// The queries are those of the packages cmd/go/internal/vcs and cmd/go/internal/fetch/modfetch/codehost of Go 1.18 to 1.27.
func (c Commit) Answer(args []string, read func(name string) ([]byte, error)) (string, error) {
	query := words(args)
	switch {
	case match(query, "status", "--porcelain"):
		if c.Modified {
			return " M .\n", nil
		}
		return "", nil
	case match(query, "log", "-1", "--format=%H:%ct"), match(query, "show", "-s", "--format=%H:%ct"):
		return fmt.Sprintf("%s:%d\n", c.Revision, c.seconds()), nil
	case match(query, "config", "extensions.objectformat"):
		if len(c.Revision) == 64 {
			return "sha256\n", nil
		}
		return "", fmt.Errorf("extensions.objectformat is not set")
	case match(query, "log", "--no-decorate", "-n1", "--format=format:%H %ct %D", ""):
		return c.log(query[4])
	case match(query, "tag", "-l"):
		return lines("", c.Tags, c.Bases), nil
	case len(query) > 0 && query[0] == "for-each-ref":
		return lines("refs/tags/", c.Tags, c.Bases), nil
	case match(query, "cat-file", "blob", ""):
		return c.blob(query[2], read)
	}
	return "", fmt.Errorf("Larder answers what the go command asks to stamp a binary, and this it doesn't: git %s", strings.Join(args, " "))
}

// words removes options that differ between releases of the go command and don't matter.
func words(args []string) []string {
	for len(args) > 1 && args[0] == "-c" {
		args = args[2:]
	}
	return slices.DeleteFunc(slices.Clone(args), func(s string) bool { return s == "--" || s == "--end-of-options" })
}

// match compares words. "" in want matches any word.
func match(query []string, want ...string) bool {
	return slices.EqualFunc(query, want, func(q, w string) bool { return q == w || w == "" })
}

// log returns the time of a revision, and its tags. The go command needs them for the main module's version. It is an
// error if the time isn't known, or if the root of the repository isn't in the tree: then the go command stamps no
// version.
func (c Commit) log(rev string) (string, error) {
	tag, isTag := strings.CutPrefix(rev, "refs/tags/")
	switch {
	case c.Time == 0 || c.Inner:
		return "", fmt.Errorf("what is known of the commit %s isn't enough for a version", c.Revision)
	case isTag && !slices.Contains(c.Tags, tag), !isTag && (rev == "" || !strings.HasPrefix(c.Revision, rev)):
		return "", fmt.Errorf("bad revision %q", rev)
	}
	out := fmt.Sprintf("%s %d HEAD", c.Revision, c.Time)
	for _, tag := range c.Tags {
		out += ", tag: " + tag
	}
	return out, nil
}

func (c Commit) blob(name string, read func(name string) ([]byte, error)) (string, error) {
	rev, file, ok := strings.Cut(name, ":")
	if !ok || rev != c.Revision {
		return "", fmt.Errorf("not a valid object name %s", name)
	}
	data, err := read(file)
	return string(data), err
}

func lines(prefix string, lists ...[]string) string {
	var b strings.Builder
	for _, s := range slices.Concat(lists...) {
		b.WriteString(prefix + s + "\n")
	}
	return b.String()
}
