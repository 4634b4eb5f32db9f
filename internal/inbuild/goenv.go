package inbuild

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gowords"
	"github.com/larder-build/larder/internal/step"
)

// environment returns the environment of the go command for a line of these words. It is made from the stage's
// environment; the settings of gomod.OfflineEnv override it.
func (l *goLine) environment(stage, words []string) ([]string, error) {
	env := map[string]string{}
	for _, kv := range stage {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	goflags := []string{env["GOFLAGS"]}
	for _, kv := range l.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
		if k == "GOFLAGS" {
			goflags = append(goflags, v)
		}
	}
	flags, err := moduleFlags(goflags, l.Vendor)
	if err != nil {
		return nil, err
	}
	target, err := readTarget(l.Target)
	if err != nil {
		return nil, err
	}
	setPlatform(env, target, runsItsOutput(words))
	for _, kv := range gomod.OfflineEnv() {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	maps.Copy(env, map[string]string{"GOFLAGS": flags, "GOMODCACHE": l.ModCache, "GOWORK": l.Work, "PWD": l.Dir})
	if l.GoCache != "" {
		env["GOCACHE"] = l.GoCache
		if godebug := indexSetting(l.Dir, env["GODEBUG"]); godebug != "" {
			env["GODEBUG"] = godebug
		}
	}
	if l.Commit != "" {
		stampEnv(env, l.Commit)
	}
	setDefault(env, "GOPATH", "/go")
	setDefault(env, "HOME", "/root")
	if l.Compile == step.CompilesByOwn {
		ownEnvironment(env)
	}
	if err := l.setCgo(env, words[0]); err != nil {
		return nil, err
	}
	if err := l.checkCompiles(words, env); err != nil {
		return nil, err
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list, nil
}

// setDefault sets a variable that is unset or empty, which is the same to the go command.
func setDefault(env map[string]string, key, value string) {
	if env[key] == "" {
		env[key] = value
	}
}

// readTarget reads a file of lines KEY=VALUE with the go command's variables for a platform.
func readTarget(name string) (map[string]string, error) {
	target := map[string]string{}
	if name == "" {
		return target, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the target platform: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		k, v, ok := strings.Cut(line, "=")
		if line != "" && (!ok || !strings.HasPrefix(k, "GO")) {
			return nil, fmt.Errorf("reading the target platform: %s: expected lines such as GOOS=linux, not %q", name, line)
		}
		target[k] = v
	}
	delete(target, "")
	return target, nil
}

// runsItsOutput reports whether a line runs what it compiles. Such a line compiles for the platform of the builder,
// because nothing is emulated.
func runsItsOutput(words []string) bool {
	switch words[0] {
	case "run", "tool":
		return true
	case "test":
		for _, w := range words[1:] {
			switch oneDash(w) {
			case "-c", "-c=true":
				return false // only compiles
			case "-args":
				return true
			}
		}
		return true
	}
	return false
}

// oneDash returns a flag with one dash instead of two, which mean the same to the go command.
func oneDash(flag string) string {
	if strings.HasPrefix(flag, "--") {
		return flag[1:]
	}
	return flag
}

// setPlatform makes the go command compile for the target platform, or for the builder's own if builders is true. A
// platform in the stage's environment, which the user set, is kept.
func setPlatform(env, target map[string]string, builders bool) {
	if !builders {
		for k, v := range target {
			setDefault(env, k, v)
		}
		return
	}
	for _, k := range []string{"GOOS", "GOARCH"} {
		if env[k] != "" && env[k] != target[k] {
			return
		}
	}
	for k, v := range target {
		if env[k] == v {
			delete(env, k)
		}
	}
}

// moduleFlags joins texts of GOFLAGS, of which the last has precedence, and adds -mod.
func moduleFlags(texts []string, vendor bool) (string, error) {
	texts = slices.DeleteFunc(texts, func(s string) bool { return strings.TrimSpace(s) == "" })
	mod, readonly := false, false
	for _, text := range texts {
		words, err := gowords.Flags(text)
		if err != nil {
			return "", fmt.Errorf("GOFLAGS=%s: %w", text, err)
		}
		for _, w := range words {
			name, value, _ := strings.Cut(oneDash(w), "=")
			mod = mod || name == "-mod"
			readonly = readonly || name == "-mod" && value == "readonly"
		}
	}
	switch {
	case vendor && (!mod || readonly):
		// -mod=readonly is no word against vendor/: FROM go says it of every stage, before it is known what is in there.
		texts = append(texts, "-mod=vendor")
	case !mod:
		// A -mod on the line itself wins over this.
		texts = slices.Insert(texts, 0, "-mod=readonly")
	}
	return strings.Join(texts, " "), nil
}
