package gowords

import (
	"fmt"
	"slices"
	"strings"
)

// These are flags of a go command that only compiles and links: see OnlyCompiles.
var (
	compileBools  = strings.Fields("a n v x work json trimpath race msan asan cover modcacherw buildvcs")
	compileValues = strings.Fields("C p o tags pgo buildmode buildvcs covermode coverpkg installsuffix mod")
	// compileTexts are flags whose value has flags for a tool of the toolchain.
	compileTexts = map[string]toolFlags{
		"ldflags": {bools: strings.Fields("s w v compressdwarf checklinkname"), values: strings.Fields("X linkmode buildid extldflags")},
		"gcflags": {bools: strings.Fields("N l m e B")},
	}
	// linkTexts are the words that -extldflags may have: no plug-in of the C linker, and no file.
	linkTexts = strings.Fields("-static -static-pie -s -w")
)

// toolFlags are the flags that a tool may get. A flag in bools stands alone or has its value after =; a flag in values
// takes the next word.
type toolFlags struct{ bools, values []string }

// OnlyCompiles reports whether a go command only compiles: it runs only programs of the toolchain, and writes only its
// cache and the files that -o and GOBIN name. The words are its subcommand and arguments. Words whose value can't
// change the result may still contain variables. If the command only compiles, why is ""; otherwise it says what else
// the command may do.
//
// A command that isn't known to be so may be so all the same: a list of flags here can only be too short.
func OnlyCompiles(words []string) (why string) {
	if len(words) == 0 || !slices.Contains([]string{"build", "install", "vet"}, words[0]) {
		return "only build, install and vet do no more than compile"
	}
	for args := words[1:]; len(args) > 0; {
		word := args[0]
		args = args[1:]
		if !strings.HasPrefix(word, "-") {
			if strings.Contains(word, "$") {
				return word + " isn't known before the build"
			}
			continue // the go command takes what follows for packages
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
		text, isText := compileTexts[name]
		takes := slices.Contains(compileValues, name) || isText
		if takes && !hasValue && name != "buildvcs" {
			if len(args) == 0 {
				return "-" + name + " has no value"
			}
			value, args = args[0], args[1:]
		}
		switch {
		case isText:
			if why := text.allow(name, value); why != "" {
				return why
			}
		case strings.Contains(value, "$") && name != "o":
			return fmt.Sprintf("-%s=%s isn't known before the build", name, value)
		case !takes && !slices.Contains(compileBools, name):
			return fmt.Sprintf("-%s may run other programs or write other files", name)
		}
	}
	return ""
}

// FlagsOnlyCompile does the same as OnlyCompiles for a text of GOFLAGS.
func FlagsOnlyCompile(text string) (why string) {
	words, err := Quoted(text)
	if err != nil {
		return err.Error()
	}
	return OnlyCompiles(append([]string{"build"}, words...))
}

// allow checks the value of a flag that passes flags to a tool: [PATTERN=]FLAG…
func (t toolFlags) allow(name, text string) (why string) {
	if pattern, rest, ok := strings.Cut(text, "="); ok && !strings.HasPrefix(text, "-") && !strings.ContainsAny(pattern, " '\"$") {
		text = rest
	}
	words, err := Quoted(text)
	if err != nil {
		return fmt.Sprintf("-%s: %v", name, err)
	}
	for i := 0; i < len(words); i++ {
		flag, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(words[i], "-"), "-"), "=")
		switch {
		case !strings.HasPrefix(words[i], "-"):
			return fmt.Sprintf("-%s has %q, which is no flag that is known here", name, words[i])
		case slices.Contains(t.values, flag) && !hasValue:
			if i++; i == len(words) {
				return fmt.Sprintf("-%s: -%s has no value", name, flag)
			}
			value = words[i]
		case !slices.Contains(t.bools, flag) && !slices.Contains(t.values, flag):
			return fmt.Sprintf("-%s has -%s, which may run other programs or write other files", name, flag)
		}
		if flag == "extldflags" {
			for _, word := range strings.Fields(value) {
				if !slices.Contains(linkTexts, word) {
					return fmt.Sprintf("-%s has -extldflags with %s, which may run other programs or write other files", name, word)
				}
			}
		}
	}
	return ""
}
