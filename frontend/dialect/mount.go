package dialect

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/util/suggest"
	"github.com/tonistiigi/go-csvvalue"
)

// Kinds of mounts that are Larder's own, and others that are told apart.
const (
	mountModules = "gomod"
	mountCache   = "gocache"
	kindBind     = "bind"
	kindCache    = "cache"
	kindSecret   = "secret"
	kindSSH      = "ssh"
	kindTmpfs    = "tmpfs"
)

// A mount is the value of a --mount flag, as far as a plan needs it.
type mount struct {
	kind   string
	from   string
	source string
	target string
	module string
	id     string
}

// ownKeys are the keys of Larder's own mounts.
var ownKeys = map[string][]string{
	mountModules: {"type", "from", "module", "target", "dst", "destination", "ro", "readonly"},
	mountCache:   {"type", "id", "target", "dst", "destination"},
}

// parseMount reads the value of a --mount flag; of one with an error it knows the kind. Keys of Larder's own mounts are checked; what is wrong with another is
// BuildKit's converter's to say.
func parseMount(value string) (mount, error) {
	fields, err := csvvalue.Fields(value, nil)
	if err != nil {
		return mount{}, fmt.Errorf("not a comma-separated list: %w", err)
	}
	m := mount{kind: kindBind}
	for _, field := range fields {
		if key, v, ok := strings.Cut(field, "="); ok && strings.EqualFold(key, "type") {
			m.kind = strings.ToLower(v)
		}
	}
	keys, own := ownKeys[m.kind]
	for _, field := range fields {
		key, v, hasValue := strings.Cut(field, "=")
		key = strings.ToLower(key)
		if own {
			if err := checkOwnKey(m.kind, key, v, hasValue, keys); err != nil {
				return m, err
			}
		}
		switch key {
		case "from":
			m.from = v
		case "source", "src":
			m.source = v
		case "target", "dst", "destination":
			m.target = v
		case "module":
			m.module = v
		case "id":
			m.id = v
		}
	}
	if !own {
		return m, checkKind(m.kind)
	}
	return m, nil
}

func checkOwnKey(kind, key, value string, hasValue bool, keys []string) error {
	for _, k := range keys {
		if k != key {
			continue
		}
		switch flag := k == "ro" || k == "readonly"; {
		case flag && hasValue && value != "true":
			return fmt.Errorf("type=%s is always read-only: leave %s out", kind, key)
		case !flag && value == "":
			return fmt.Errorf("%s has no value", key)
		case strings.ContainsAny(value, ",\""):
			return fmt.Errorf("%s=%s: expected a name without commas and quotes", key, value)
		case strings.ContainsRune(value, '$'):
			return fmt.Errorf("%s=%s: variables aren't expanded in a mount of type %s: write the value out", key, value, kind)
		}
		return nil
	}
	return suggest.WrapError(fmt.Errorf("unexpected key %q for type=%s: expected %s", key, kind, strings.Join(keys, ", ")), key, keys, true)
}

// checkKind names Larder's own kinds where a kind is neither theirs nor BuildKit's.
func checkKind(kind string) error {
	all := []string{kindBind, kindCache, kindSecret, kindSSH, kindTmpfs, mountModules, mountCache}
	for _, k := range all {
		if k == kind || strings.ContainsRune(kind, '$') {
			return nil
		}
	}
	if err := fmt.Errorf("unsupported mount type %q: expected one of %s", kind, strings.Join(all, ", ")); strings.HasPrefix(kind, "go") {
		return suggest.WrapError(err, kind, all, true)
	}
	return nil
}

// keeps reports whether something may be left in a mount, or in the stage for its sake: only credentials leave nothing.
func (m mount) keeps() bool { return m.kind != kindSecret && m.kind != kindSSH }
