package dockerfile

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/util/suggest"
	"github.com/tonistiigi/go-csvvalue"
)

// Kinds of mounts: Larder's own, and those of BuildKit's that Larder treats differently.
const (
	KindModules      = "gomod"
	KindCompileCache = "gocache"
	KindBind         = "bind"
	KindCache        = "cache"
	KindSecret       = "secret"
	KindSSH          = "ssh"
	kindTmpfs        = "tmpfs"
)

// A Mount holds what a plan needs from the value of a --mount flag.
type Mount struct {
	Kind   string // the value of type=, in lower case; bind where there is none
	From   string // a stage, an image or a named context
	Source string // a path in that
	Target string // a path in the step
	Module string // the folder of a module, for KindModules
	ID     string // of a cache or a secret
}

// ownKeys are the allowed keys of Larder's own mounts.
var ownKeys = map[string][]string{
	KindModules:      {"type", "from", "module", "target", "dst", "destination", "ro", "readonly"},
	KindCompileCache: {"type", "id", "target", "dst", "destination"},
}

// ParseMount reads the value of a --mount flag. It checks the keys of Larder's own mounts, and leaves those of others
// to BuildKit's converter. With an error, the Mount still has the kind if that could be read.
func ParseMount(value string) (Mount, error) {
	fields, err := csvvalue.Fields(value, nil)
	if err != nil {
		return Mount{}, fmt.Errorf("not a comma-separated list: %w", err)
	}
	m := Mount{Kind: KindBind}
	for _, field := range fields {
		if key, v, ok := strings.Cut(field, "="); ok && strings.EqualFold(key, "type") {
			m.Kind = strings.ToLower(v)
		}
	}
	keys, own := ownKeys[m.Kind]
	for _, field := range fields {
		key, v, hasValue := strings.Cut(field, "=")
		key = strings.ToLower(key)
		if own {
			if err := checkOwnKey(m.Kind, key, v, hasValue, keys); err != nil {
				return m, err
			}
		}
		switch key {
		case "from":
			m.From = v
		case "source", "src":
			m.Source = v
		case "target", "dst", "destination":
			m.Target = v
		case "module":
			m.Module = v
		case "id":
			m.ID = v
		}
	}
	if !own {
		return m, checkKind(m.Kind)
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

// checkKind refuses a kind that neither BuildKit nor Larder has, and names those that exist.
func checkKind(kind string) error {
	all := []string{KindBind, KindCache, KindSecret, KindSSH, kindTmpfs, KindModules, KindCompileCache}
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

// Keeps reports whether a step may leave files in the mount, or in the stage because of it. Only credentials leave
// nothing.
func (m Mount) Keeps() bool { return m.Kind != KindSecret && m.Kind != KindSSH }
