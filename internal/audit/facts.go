package audit

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/progress"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/sync/errgroup"
)

// facts are what the folder of modules says about one module version.
type facts struct {
	time       time.Time // of the release; zero if it isn't known
	newest     string    // the newest version whose go.mod is there; empty if there is none
	retracted  bool      // by the newest go.mod
	rationale  string    // of the retraction; may be empty
	deprecated string    // the notice of the newest go.mod; empty if it isn't deprecated
	licenses   []string  // SPDX identifiers, sorted
	license    licenseState
	missing    []string // what isn't there: .info, .mod, .zip
	damaged    []string // what is there and can't be read, and why
}

// gather collects the facts of each module version in use. Without modules all facts are zero.
func gather(ctx context.Context, src source, deps []dep, p progress.Reporter) (map[module.Version]facts, error) {
	known := map[module.Version]facts{}
	used := map[module.Version]bool{}
	for _, d := range deps {
		if d.used.Version != "" && src.fsys != nil {
			used[d.used] = true
		}
	}
	if len(used) > 0 {
		p.Begin("read modules", len(used), 0)
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for m := range used {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f := src.facts(m)
			p.Done(m.String(), 0)
			mu.Lock()
			defer mu.Unlock()
			known[m] = f
			return nil
		})
	}
	return known, g.Wait()
}

// source reads a folder that is laid out as a module proxy is.
type source struct{ fsys fs.FS }

func (s source) facts(m module.Version) facts {
	var f facts
	note := func(ext string, err error) {
		switch {
		case err == nil:
		case notThere(err):
			f.missing = append(f.missing, ext)
		default:
			f.damaged = append(f.damaged, ext+": "+err.Error())
		}
	}
	var err error
	f.time, err = s.time(m)
	note(".info", err)
	newest, err := s.newest(m.Path)
	note(".mod", err)
	if newest != nil {
		f.newest = newest.Module.Mod.Version
		f.deprecated = newest.Module.Deprecated
		for _, r := range newest.Retract {
			if semver.Compare(r.Low, m.Version) <= 0 && semver.Compare(m.Version, r.High) <= 0 {
				f.retracted, f.rationale = true, r.Rationale
			}
		}
	}
	f.licenses, f.license, err = s.licenses(m)
	note(".zip", err)
	return f
}

// time returns when a version was released. It is in the version's .info, or in its name if that is a pseudo-version.
func (s source) time(m module.Version) (time.Time, error) {
	if module.IsPseudoVersion(m.Version) {
		return module.PseudoVersionTime(m.Version)
	}
	name, err := file(m, ".info")
	if err != nil {
		return time.Time{}, err
	}
	data, err := readFile(s.fsys, name, 1<<20)
	if err != nil {
		return time.Time{}, err
	}
	var info struct{ Time time.Time }
	if err := json.Unmarshal(data, &info); err != nil {
		return time.Time{}, err
	}
	return info.Time.UTC(), nil
}

// newest parses the go.mod of a module's newest version. The go command takes retractions and the deprecation from
// there, too. Any release counts as newer than any pre-release. The version is in Module.Mod.
func (s source) newest(path string) (*modfile.File, error) {
	escaped, err := module.EscapePath(path)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(s.fsys, escaped+"/@v")
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".mod"); ok {
			if v, err := module.UnescapeVersion(name); err == nil && semver.IsValid(v) {
				versions = append(versions, v)
			}
		}
	}
	if len(versions) == 0 {
		return nil, fs.ErrNotExist
	}
	m := module.Version{Path: path, Version: slices.MaxFunc(versions, compareReleases)}
	name, err := file(m, ".mod")
	if err != nil {
		return nil, err
	}
	data, err := readFile(s.fsys, name, maxFile)
	if err != nil {
		return nil, err
	}
	f, err := modfile.ParseLax(m.String()+" go.mod", data, nil)
	if err != nil {
		return nil, oneError(err)
	}
	if f.Module == nil {
		return nil, fmt.Errorf("%s go.mod has no module line", m)
	}
	f.Module.Mod = m
	return f, nil
}

func compareReleases(a, b string) int {
	if pa, pb := semver.Prerelease(a) != "", semver.Prerelease(b) != ""; pa != pb {
		if pa {
			return -1
		}
		return 1
	}
	return semver.Compare(a, b)
}

// openZip opens the zip of a module version.
func (s source) openZip(m module.Version) (*zip.Reader, io.Closer, error) {
	name, err := file(m, ".zip")
	if err != nil {
		return nil, nil, err
	}
	f, err := s.fsys.Open(name)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		return nil, nil, errors.Join(errors.New("it can't be read at an offset"), f.Close())
	}
	z, err := zip.NewReader(at, fi.Size())
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return z, f, nil
}

// file returns the path of a module's file in a module proxy's layout.
func file(m module.Version, ext string) (string, error) {
	return gomod.Sum{Path: m.Path, Version: m.Version}.File(ext)
}

// unchecked returns a finding for each thing that could not be checked, and why.
func unchecked(units []*unit, deps []dep, known map[module.Version]facts, o Options) []Finding {
	var out []Finding
	if o.Modules == nil {
		out = append(out, Finding{Rule: RuleUnchecked, Severity: Note,
			Message: "there is no folder of modules: retractions, deprecations, ages and licences are not checked", Do: "name one with --modules"})
	}
	if o.VulnDB == nil {
		out = append(out, Finding{Rule: RuleUnchecked, Severity: Note,
			Message: "there is no vulnerability database: known vulnerabilities are not checked", Do: "name its folder with --vulndb"})
	}
	for _, d := range deps {
		f := known[d.used]
		if len(f.missing) > 0 {
			x := d.finding(RuleUnchecked, Note)
			x.Message = fmt.Sprintf("the modules at hand lack the %s of %s: not everything is checked", strings.Join(f.missing, ", "), d.used)
			x.Do = "fetch it"
			out = append(out, x)
		}
		if len(f.damaged) > 0 {
			x := d.finding(RuleUnchecked, Warning)
			x.Message = fmt.Sprintf("of the modules at hand, %s can't be read: %s", d.used, plain(strings.Join(f.damaged, "; ")))
			x.Do = "fetch it again"
			out = append(out, x)
		}
	}
	for _, u := range units {
		for _, s := range u.services {
			if !s.listsAll() {
				x := Finding{Rule: RuleUnchecked, Severity: Note, File: s.file, Line: s.modLine().line, Module: s.mod.Module.Mod.Path}
				x.Message = "a go.mod of before Go 1.17 doesn't list the modules that it needs indirectly: these are not checked"
				x.Do = "go mod tidy -go=1.17"
				out = append(out, x)
			}
		}
	}
	return out
}
