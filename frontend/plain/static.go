package plain

import (
	_ "embed"
	"errors"
	"fmt"
	"go/version"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/step"
)

// staticStage is the name of the stage that makes the files of FROM static.
const staticStage = "larder-static"

// The module of the certificate authorities, with the sums that go.sum has.
const (
	rootsModule = "golang.org/x/crypto/x509roots/fallback"
	rootsSum    = "h1:5NBkmd8MXirajj6AAEpi4HFVJnVkBNPTL1ggYAKqaws="
	rootsModSum = "h1:HPze8vhfG6fO06AM+VSvxRm4E3+5Yk375mgrJ5M2z1E="
	rootsGo     = "1.26.0" // that it needs
	rootsAt     = "v0.0.0-20261030153154-30a33513ff6d"
)

// staticProgram is a program that writes the files of FROM static. In a build with Larder, package inbuild writes them.
//
//go:embed static.go.txt
var staticProgram string

// staticText returns the text of that stage.
func staticText(release, escape string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What FROM static holds: certificate authorities, time zones, users, /tmp.\nFROM --platform=$BUILDPLATFORM golang:%s AS %s\n%s\nWORKDIR /larder-static\n", release, staticStage, strings.Join(goArgs, "\n"))
	next := " " + escape + "\n"
	b.WriteString("RUN " + cacheMounts)
	for i, f := range []struct{ name, text string }{
		{"go.mod", "module static\n\ngo " + rootsGo + "\n\nrequire " + rootsModule + " " + rootsAt + "\n"},
		{"go.sum", rootsModule + " " + rootsAt + " " + rootsSum + "\n" + rootsModule + " " + rootsAt + "/go.mod " + rootsModSum + "\n"},
		{"main.go", staticProgram},
	} {
		if b.WriteString(next); i > 0 {
			b.WriteString("    && ")
		} else {
			b.WriteString("    ")
		}
		b.WriteString(`printf '%s\n'`)
		for line := range strings.Lines(f.text) {
			b.WriteString(next + "    '" + strings.TrimSuffix(line, "\n") + "'")
		}
		b.WriteString(" >" + f.name)
	}
	b.WriteString(next + "    && mkdir /static" + next + "    && GOENV=off GOTOOLCHAIN=local GOWORK=off GOFLAGS= CGO_ENABLED=0 GOMODCACHE=" + step.ModCache + " GOCACHE=" + step.GoCache +
		` go run . /static "$(go env GOROOT)/lib/time/zoneinfo.zip"` + "\n\n")
	return b.String()
}

// addStaticStage puts the stage before the file's first one.
func (w *writer) addStaticStage() error {
	for _, n := range w.File.Nodes {
		for _, flag := range n.Flags {
			if from, ok := strings.CutPrefix(flag, "--from="); ok && from != "" && strings.Trim(from, "0123456789") == "" {
				return w.failed(n.StartLine, "--from=%s: the stages get other numbers by one for FROM static: name the stage", from)
			}
		}
	}
	at, _ := w.File.Line(w.File.Stages[0].Location[0].Start.Line)
	w.edits = append([]dockerfile.Edit{{Start: at, End: at, Text: staticText(w.static, string(w.File.Escape))}}, w.edits...)
	return nil
}

// staticRelease returns the Go release that makes the files of FROM static. Their time zones are that release's.
func (w *writer) staticRelease() (string, error) {
	if len(w.Plan.Toolchains) == 0 {
		return "", errors.New("it isn't known which toolchain's time zones FROM static has")
	}
	name := w.Plan.Toolchains[0].Version
	if version.Compare(name, "go"+rootsGo) < 0 {
		return "", fmt.Errorf("what FROM static holds is made by go%s or a newer one, and the plan has %s: take an image that has these files, or a newer Go", rootsGo, name)
	}
	return strings.TrimPrefix(name, "go"), nil
}

// levelZero writes a plain file for one without instructions.
func (w *writer) levelZero() ([]byte, error) {
	if err := w.checkPlatforms(); err != nil {
		return nil, err
	}
	for _, p := range w.Plan.Platforms {
		if !strings.HasPrefix(p, "linux/") {
			return nil, fmt.Errorf("%s: no plain Dockerfile can be written for the platform %s: write GO lines for it", w.File.Name, p)
		}
	}
	release, err := w.staticRelease()
	if err != nil {
		return nil, err
	}
	builds := map[string]string{}
	for _, pkg := range w.Plan.Packages {
		if pkg.Commit != nil {
			return nil, fmt.Errorf("%s: no plain Dockerfile can be written: the commit is stamped, and Larder answers what go asks git for: pass --build-arg GOFLAGS=-buildvcs=false", w.File.Name)
		}
		builds[pkg.Stage] = w.levelZeroBuild(pkg, release)
	}
	var out strings.Builder
	args := ""
	for line := range strings.Lines(w.Plan.Dockerfile) {
		line = strings.TrimSuffix(line, "\n")
		name, isStage := strings.CutPrefix(line, "FROM "+staticBase+" AS ")
		switch {
		case strings.HasPrefix(line, "ARG SOURCE_DATE_EPOCH"):
			args = line + "\n\n" + staticText(release, `\`)
			out.WriteString(args)
		case isStage:
			out.WriteString(builds[name] + "\nFROM scratch AS " + name + "\n" + strings.Join(staticLines, "\n") + "\n")
		case strings.HasPrefix(line, "COPY --link --from="+planner.ContextPrefix):
			out.WriteString("COPY --from=larder-" + strings.TrimSuffix(strings.TrimPrefix(line, "COPY --link --from="+planner.ContextPrefix+"bin-"), " / /") + " /out/ /usr/local/bin/\n")
		case args == "" && strings.HasPrefix(line, "#"):
			// its comments hold directives for Larder
		default:
			out.WriteString(line + "\n")
		}
	}
	return w.finish([]byte(out.String()))
}

// levelZeroBuild returns the text of the stage that compiles a package.
func (w *writer) levelZeroBuild(pkg planner.Package, release string) string {
	flags := slices.Clone(w.Plan.Flags)
	if w.Plan.Vendored {
		flags = append(flags, "-mod=vendor")
	}
	work := "off"
	if w.Plan.Work != "" {
		work = step.Src + "/" + w.Plan.Work
	}
	words := []string{"go", "build"}
	for _, f := range append(flags, "-o", "/out/"+pkg.Name, pkg.Dir) {
		words = append(words, quote(f))
	}
	env := []string{"GOENV=off", "GOTOOLCHAIN=local", "GOMODCACHE=" + step.ModCache, "GOCACHE=" + step.GoCache, "GOWORK=" + quote(work), "CGO_ENABLED=0", `GOOS="$TARGETOS"`, `GOARCH="$TARGETARCH"`, "GOFLAGS=-mod=readonly"}
	for _, kv := range w.Plan.Env {
		k, v, _ := strings.Cut(kv, "=")
		env = append(env, k+"="+quote(v))
	}
	return fmt.Sprintf("FROM --platform=$BUILDPLATFORM golang:%s AS larder-%s\n%s\nCOPY . %s/\nRUN %s \\\n    cd %s \\\n    && export %s \\\n    && %s\n",
		release, pkg.Stage, strings.Join(goArgs, "\n"), step.Src, cacheMounts, quote(path.Join(step.Src, w.Plan.Dir)), strings.Join(env, " "), strings.Join(words, " "))
}
