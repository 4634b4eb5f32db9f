package gitfetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/gitattributes"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// attributes are the rules of a tree's .gitattributes files, the weakest first. The go command makes its zips by
// 'git archive', which applies the rules for line ends and $Id$, so they change the h1 hash.
type attributes struct {
	rules  []gitattributes.MatchAttribute
	macros map[string][]gitattributes.Attribute
}

const (
	maxAttributes = 1 << 20 // bytes of a .gitattributes file
	maxRules      = 10_000  // of a module: each is tried on each file
	maxLine       = 2048    // git ignores a longer line
)

// add adds the rules of a folder. It ignores lines that can't be read, as git does.
func (a *attributes) add(p *repoPlace, tree *object.Tree, dir string) error {
	for _, entry := range tree.Entries {
		if entry.Name != ".gitattributes" || !isBlob(entry.Mode) {
			continue
		}
		data, err := p.read(path.Join(dir, entry.Name), maxAttributes)
		if err != nil {
			return err
		}
		var domain []string
		if dir != "" {
			domain = strings.Split(dir, "/")
		}
		for _, line := range strings.Split(string(data), "\n") {
			a.addLine(line, domain)
		}
		if len(a.rules) > maxRules {
			return fmt.Errorf("its .gitattributes files have more than %d lines", maxRules)
		}
	}
	return nil
}

// addLine adds the rule of a line, unless the rule can match no file.
func (a *attributes) addLine(line string, domain []string) {
	if strings.HasPrefix(strings.TrimSpace(line), `""`) || len(line) >= maxLine {
		return // no name, at which go-git fails badly, or one that git ignores
	}
	rule, err := gitattributes.ParseAttributesLine(line, domain, len(domain) == 0)
	switch {
	case err != nil || rule.Name == "":
	case strings.HasSuffix(rule.Name, "/") || strings.Contains(rule.Name, "//") || strings.HasPrefix(rule.Name, "!"):
		// To git the first is a folder, whose files don't inherit what it has, and the others match nothing. Go-git fails
		// badly at the first.
	case rule.Pattern != nil:
		a.rules = append(a.rules, rule)
	default:
		if a.macros == nil {
			a.macros = map[string][]gitattributes.Attribute{}
		}
		a.macros[rule.Name] = rule.Attributes
	}
}

// of returns the attributes of a file. The values true and false are written "set" and "unset".
func (a *attributes) of(name string) map[string]string {
	if len(a.rules) == 0 {
		return nil
	}
	values := map[string]string{}
	parts := strings.Split(name, "/")
	for _, rule := range a.rules {
		if !rule.Pattern.Match(parts) {
			continue
		}
		for _, attr := range rule.Attributes {
			a.set(values, attr, map[string]bool{})
		}
	}
	return values
}

// set sets an attribute, and those that it stands for if it is a macro. Each macro is expanded once, because macros may
// name each other.
func (a *attributes) set(values map[string]string, attr gitattributes.Attribute, expanded map[string]bool) {
	switch {
	case attr.IsValueSet():
		values[attr.Name()] = attr.Value()
	case attr.IsUnspecified():
		delete(values, attr.Name())
	case attr.IsUnset():
		values[attr.Name()] = "unset"
	default:
		values[attr.Name()] = "set"
		if attr.Name() == "binary" {
			values["text"] = "unset"
		}
		if expanded[attr.Name()] {
			return
		}
		expanded[attr.Name()] = true
		for _, of := range a.macros[attr.Name()] {
			a.set(values, of, expanded)
		}
	}
}

// convert returns the size and a reader of a file after git's conversions in an archive made with core.autocrlf=input
// and core.eol=lf.
func (a *attributes) convert(name string, b blob, size int64) (int64, func() (io.ReadCloser, error), error) {
	values := a.of(name)
	if encoding := values["working-tree-encoding"]; encoding != "" && encoding != "set" && encoding != "unset" && !strings.EqualFold(encoding, "utf-8") {
		return 0, nil, fmt.Errorf("its encoding in archives is %s, which Larder can't write: fetch the module through a proxy", encoding)
	}
	crlf, ident := toCRLF(values), values["ident"] == "set"
	if crlf == never && !ident {
		return size, b.open, nil
	}
	data, err := b.read()
	if err != nil {
		return 0, nil, err
	}
	if ident {
		data = expandID(data, b.hash)
	}
	if crlf != never && needsCRLF(data, crlf) {
		data = toLines(data)
	}
	return int64(len(data)), openBytes(data), nil
}

type lineEnds int

const (
	never lineEnds = iota
	always
	ifText // where the file looks like text whose lines end in LF alone
)

// toCRLF returns the line ends that the attributes text, crlf (the old name of text) and eol ask for.
func toCRLF(values map[string]string) lineEnds {
	text, eol := values["text"], values["eol"]
	if text == "" || text != "set" && text != "unset" && text != "auto" && text != "input" {
		text = values["crlf"]
	}
	switch {
	case text == "unset" || text == "input" || eol != "crlf":
		return never
	case text == "auto":
		return ifText
	}
	return always
}

// needsCRLF does the same as git's function will_convert_lf_to_crlf.
func needsCRLF(data []byte, mode lineEnds) bool {
	var lf, crlf, cr, nul, odd, printable int
	for i, c := range data {
		switch {
		case c == '\n' && i > 0 && data[i-1] == '\r':
			crlf++
		case c == '\n':
			lf++
		case c == '\r' && (i+1 == len(data) || data[i+1] != '\n'):
			cr++
		case c == '\r':
		case c == 0:
			nul++
			odd++
		case c == '\b' || c == '\t' || c == '\f' || c == 0x1b:
			printable++
		case c < ' ' || c == 0x7f:
			odd++
		default:
			printable++
		}
	}
	if len(data) > 0 && data[len(data)-1] == 0x1a { // the end of a DOS text
		odd--
	}
	if lf == 0 {
		return false
	}
	return mode == always || crlf == 0 && cr == 0 && nul == 0 && printable>>7 >= odd
}

// toLines ends every line in CR LF.
func toLines(data []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// expandID writes the file's hash into each $Id$.
func expandID(data []byte, hash plumbing.Hash) []byte {
	var b bytes.Buffer
	for {
		i := bytes.Index(data, []byte("$Id"))
		if i < 0 {
			b.Write(data)
			return b.Bytes()
		}
		b.Write(data[:i+3])
		data = data[i+3:]
		switch {
		case bytes.HasPrefix(data, []byte("$")):
			data = data[1:]
		case bytes.HasPrefix(data, []byte(":")):
			end := bytes.IndexAny(data, "$\n")
			if end < 0 || data[end] == '\n' {
				continue
			}
			if sp := bytes.IndexByte(data[:end], ' '); len(data) > 2 && sp == 1 {
				if at := bytes.IndexByte(data[2:end], ' '); at >= 0 && at+2 < end-1 {
					continue // another system's, with more than a hash in it
				}
			}
			data = data[end+1:]
		default:
			continue
		}
		fmt.Fprintf(&b, ": %s $", hash)
	}
}

// A blob is the content of a file.
type blob struct {
	from storer.EncodedObjectStorer
	hash plumbing.Hash
}

func (b blob) open() (io.ReadCloser, error) {
	o, err := object.GetBlob(b.from, b.hash)
	if err != nil {
		return nil, err
	}
	return o.Reader()
}

func (b blob) read() ([]byte, error) {
	r, err := b.open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}
