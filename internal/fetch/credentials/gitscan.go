package credentials

import (
	"errors"
	"strings"
)

// A variable is a setting of a git config. Section and name are in lower case; the subsection and value have no quotes
// or escapes.
type variable struct{ section, sub, name, value string }

// scanGitConfig calls each for every variable of a git config, in the syntax of git-config(1). Its errors
// are of the type Error: the parsers at hand tell no lines, or quote what they fail at.
func scanGitConfig(text string, each func(variable) error) error {
	text = strings.TrimPrefix(text, "\ufeff")
	var v variable
	lines := strings.Split(text, "\n")
	for n := 0; n < len(lines); n++ {
		at := n + 1
		rest := strings.TrimLeft(lines[n], " \t\r")
		for strings.HasPrefix(rest, "[") { // a variable may follow on the header's line
			var err error
			if v.section, v.sub, rest, err = sectionHeader(rest); err != nil {
				return &Error{"gitconfig", at, err}
			}
			rest = strings.TrimLeft(rest, " \t\r")
		}
		if rest == "" || rest[0] == '#' || rest[0] == ';' {
			continue
		}
		name, value, _ := strings.Cut(rest, "=")
		v.name = strings.ToLower(strings.TrimRight(name, " \t\r"))
		if v.section == "" || !isName(v.name) {
			return &Error{"gitconfig", at, errors.New("expected [section] or name = value")}
		}
		var w valueWriter
		for !w.line(value) {
			if n++; n == len(lines) {
				break
			}
			value = lines[n]
		}
		var err error
		if v.value, err = w.end(); err == nil {
			err = each(v)
		}
		if err != nil {
			return &Error{"gitconfig", at, err}
		}
	}
	return nil
}

var errSection = errors.New(`expected a section's header, such as [http "https://HOST/"]`)

// sectionHeader reads [section], [section "sub"] or, as it was once written, [section.sub].
func sectionHeader(line string) (section, sub, rest string, err error) {
	i := strings.IndexAny(line, " \t\"]")
	if i < 0 {
		return "", "", "", errSection
	}
	section, rest = line[1:i], strings.TrimLeft(line[i:], " \t")
	if strings.HasPrefix(rest, `"`) {
		var b strings.Builder
		for i = 1; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == '\\' {
				i++
			}
			if i < len(rest) {
				b.WriteByte(rest[i])
			}
		}
		if i >= len(rest) {
			return "", "", "", errSection
		}
		sub, rest = b.String(), rest[i+1:]
	} else if a, b, ok := strings.Cut(section, "."); ok {
		section, sub = a, strings.ToLower(b)
	}
	if !isName(section) || !strings.HasPrefix(rest, "]") {
		return "", "", "", errSection
	}
	return strings.ToLower(section), sub, rest[1:], nil
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// A valueWriter collects the value of a variable. It resolves quotes and escapes, and leaves out space around the value
// and a comment after it.
type valueWriter struct {
	b      strings.Builder
	space  strings.Builder // not known yet to be within the value
	quoted bool
	bad    bool
}

// line adds one line, and reports whether the value ends with it.
func (w *valueWriter) line(s string) (done bool) {
	s = strings.TrimSuffix(s, "\r")
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i == len(s)-1:
			return false
		case c == '\\':
			i++
			j := strings.IndexByte(`\"ntb`, s[i])
			if j < 0 {
				w.bad = true
				continue
			}
			w.put("\\\"\n\t\b"[j])
		case c == '"':
			w.quoted = !w.quoted
		case !w.quoted && (c == '#' || c == ';'):
			return true
		case !w.quoted && (c == ' ' || c == '\t'):
			if w.b.Len() > 0 {
				w.space.WriteByte(c)
			}
		default:
			w.put(c)
		}
	}
	return true
}

func (w *valueWriter) put(c byte) {
	w.b.WriteString(w.space.String())
	w.space.Reset()
	w.b.WriteByte(c)
}

func (w *valueWriter) end() (string, error) {
	if w.quoted || w.bad {
		return "", errors.New("a value whose quotes or escapes don't end")
	}
	return w.b.String(), nil
}
