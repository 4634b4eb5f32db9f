package planner

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/expand"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Names of the virtual bases that FROM takes, and of the named contexts that replace them in a rewritten file. No
// registry can have a host of that name, so these names never hide a user's image.
const (
	baseGo     = "go"
	baseStatic = "static"

	ContextPrefix = "larder.internal/"
	StaticContext = ContextPrefix + "static"
)

// A Base is a FROM line that names a virtual base.
type Base struct {
	Kind    string // "go" or "static"
	Version string // VERSION of go:VERSION
	Line    int    // the FROM line, from 1

	stage     instructions.Stage
	toolchain string // for a go stage, once it is chosen
}

// Bases returns the FROM lines that name a virtual base, in order. It expands them with the file's global ARGs, the
// build's arguments and its platforms. A stage or a named context of the same name hides a virtual base.
func Bases(f dockerfile.File, req Request) ([]Base, error) {
	env := globalArgs(f, req)
	lex := expand.New(shell.NewLex(f.Escape))
	hidden := map[string]bool{}
	var bases []Base
	for _, st := range f.Stages {
		word, err := lex.Word(st.BaseName, env)
		if err == nil && !hidden[strings.ToLower(word.Result)] && !req.hasContext(word.Result) {
			b, ok, err := parseBase(word.Result, st)
			if err != nil {
				return nil, err
			}
			if ok {
				if err := b.checkPlatform(lex, env, req); err != nil {
					return nil, err
				}
				bases = append(bases, b)
			}
		}
		if st.Name != "" {
			hidden[strings.ToLower(st.Name)] = true
		}
	}
	return bases, nil
}

func parseBase(name string, st instructions.Stage) (Base, bool, error) {
	kind, version, tagged := strings.Cut(name, ":")
	b := Base{Kind: kind, Version: version, Line: st.Location[0].Start.Line, stage: st}
	switch {
	case kind == baseGo && tagged && version == "":
		return b, false, parser.WithLocation(fmt.Errorf("FROM %s: there is no version after the colon: write FROM go:1.26, or FROM go for the version that go.mod asks for", st.BaseName), st.Location)
	case kind == baseGo:
		return b, true, nil
	case kind == baseStatic && !tagged:
		return b, true, nil
	case kind == baseStatic:
		return b, false, parser.WithLocation(fmt.Errorf("FROM %s: static has no versions: write FROM static, or docker.io/library/%s for an image of that name", name, name), st.Location)
	}
	return b, false, nil
}

// checkPlatform refuses a go stage for another platform than the builder's: compilers run on the builder, for every
// target.
func (b Base) checkPlatform(lex *expand.Lex, env shell.EnvGetter, req Request) error {
	if b.Kind != baseGo || b.stage.Platform == "" {
		return nil
	}
	word, err := lex.Word(b.stage.Platform, env)
	if err != nil {
		return nil // the converter reports it
	}
	p, err := platforms.Parse(word.Result)
	if err != nil || platforms.Format(platforms.Normalize(p)) == req.BuildPlatform {
		return nil
	}
	err = fmt.Errorf("FROM %s runs on the platform of the builder (%s) and cross-compiles from there: leave --platform=%s out", b.stage.BaseName, req.BuildPlatform, b.stage.Platform)
	return parser.WithLocation(err, b.stage.Location)
}

// ExpandName expands a name as FROM lines are expanded: with the file's global ARGs, the build's arguments and its first
// platform. It returns the name as it is if it can't be expanded.
func ExpandName(f dockerfile.File, req Request, name string) string {
	word, err := expand.New(shell.NewLex(f.Escape)).Word(name, globalArgs(f, req))
	if err != nil || len(word.Unmatched) > 0 {
		return name
	}
	return word.Result
}

// globalArgs returns the variables that FROM lines are expanded with. Platform arguments hold the first platform asked
// for.
func globalArgs(f dockerfile.File, req Request) *llb.EnvList {
	env, _ := expandArgs(f, req) // New has reported the error
	return env
}

// expandArgs returns globalArgs. It leaves out variables that would get too long, which is its only error.
func expandArgs(f dockerfile.File, req Request) (*llb.EnvList, error) {
	env := &llb.EnvList{}
	for prefix, name := range map[string]string{"BUILD": req.BuildPlatform, "TARGET": req.Platforms[0]} {
		p, err := platforms.Parse(name)
		if err != nil {
			continue
		}
		env = env.AddOrReplace(prefix+"PLATFORM", name).AddOrReplace(prefix+"OS", p.OS).
			AddOrReplace(prefix+"ARCH", p.Architecture).AddOrReplace(prefix+"VARIANT", p.Variant)
	}
	lex := expand.New(shell.NewLex(f.Escape))
	for _, cmd := range f.Args {
		for _, kv := range cmd.Args {
			if v, ok := req.BuildArgs[kv.Key]; ok {
				env = env.AddOrReplace(kv.Key, v)
			} else if kv.Value != nil {
				word, err := lex.Word(*kv.Value, env)
				if lex.Err() != nil {
					return env, parser.WithLocation(fmt.Errorf("line %d: %w", cmd.Location()[0].Start.Line, err), cmd.Location())
				}
				if err == nil {
					env = env.AddOrReplace(kv.Key, word.Result)
				}
			}
		}
	}
	return env, nil
}

// GoContext returns the name of the context that replaces FROM go, for a toolchain and a target platform.
func GoContext(toolchain string, target ocispecs.Platform) string {
	return goContext(toolchain, target.OS, target.Architecture+target.Variant)
}

func goContext(toolchain, goos, arch string) string {
	return ContextPrefix + baseGo + ":" + strings.TrimPrefix(toolchain, "go") + "-" + goos + "-" + arch
}

// rewriteBase replaces the name of a virtual base by the name of its context.
func (w *planner) rewriteBase(b *Base) error {
	n := w.File.Nodes[b.Line]
	name := StaticContext
	if b.Kind == baseGo {
		name = goContext(b.toolchain, "${TARGETOS}", "${TARGETARCH}${TARGETVARIANT}")
		if b.stage.Platform == "" {
			name = "--platform=${BUILDPLATFORM} " + name
		}
	}
	word := regexp.MustCompile(`(^|\s)` + regexp.QuoteMeta(b.stage.BaseName) + `(\s|$)`)
	for line := n.StartLine; line <= n.EndLine; line++ {
		start, end := w.File.Line(line)
		if m := word.FindSubmatchIndex(w.File.Data[start:end]); m != nil {
			w.rewrote(n, "Larder's own base "+b.stage.BaseName, dockerfile.Edit{Start: start + m[3], End: start + m[4], Text: name})
			return nil
		}
	}
	return b.wrap(errors.New("FROM " + b.stage.BaseName + ": write the name of the base on one line"))
}
