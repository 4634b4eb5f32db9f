// Package stock finds out what a bundle of some source trees has to hold, and where to get it. It turns trees, tools
// and the go command's settings into a request to package bundle.
package stock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/fetch/sumdbcopy"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"golang.org/x/mod/module"
)

// Options say what goes into a bundle.
type Options struct {
	Dirs       []string // source trees
	Toolchains []string // more Go versions: 1.26, 1.26.8 or go1.26.8
	Platforms  []string // OS/ARCHITECTURE of the images, and of the toolchains for those that builds run on
	Images     []string // more images
	NoImages   bool     // none of the images that Dockerfiles name
	Tools      []string // PACKAGE@VERSION
	BuildArgs  map[string]string
	SumDB      bool              // the checksum database will be asked about modules
	Warn       func(what string) // is told what is left out, and what may get about; nil for nobody
}

// toolchainPlatforms are the platforms that Larder builds on.
var toolchainPlatforms = []string{"linux/amd64", "linux/arm64"}

// Read reads the trees and returns a request for a bundle. It looks up toolchains that Larder has no pin for in the
// checksum database.
func (s *Stocker) Read(ctx context.Context, o Options) (bundle.Request, error) {
	req := bundle.Request{Platforms: o.Platforms}
	for _, name := range o.Images {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return req, fmt.Errorf("--image %s: %w", name, err)
		}
		req.Images = append(req.Images, reference.TagNameOnly(ref).String())
	}
	var chosen []gotoolchain.Toolchain
	box, sums, err := s.tools(ctx, o.Tools)
	if err != nil {
		return req, err
	}
	if len(o.Dirs) > 0 {
		s.Progress.Begin("read source trees", len(o.Dirs), 0)
	}
	for _, dir := range o.Dirs {
		s.Progress.At(dir, 0, 0)
		needs, err := readTree(dir, o)
		s.Progress.Done(dir, 0)
		if err != nil {
			return req, fmt.Errorf("%s: %w", dir, err)
		}
		for _, m := range needs.Modules {
			if m.Set.Empty() {
				continue
			}
			if leak := s.leak(m, o.SumDB); leak != "" && o.Warn != nil {
				o.Warn(dir + ": " + leak)
			}
			sums = append(sums, gomod.File{Name: dir + ": " + m.Dir + "/go.sum", Data: m.Set.Text()})
			req.Keys = append(req.Keys, m.Set.Key())
			if err := box.addTree(dir, m); err != nil {
				return req, err
			}
		}
		chosen = append(chosen, needs.Toolchains...)
		req.Images = append(req.Images, needs.Images...)
	}
	for _, v := range o.Toolchains {
		t, err := gotoolchain.Choose(gotoolchain.Request{From: strings.TrimPrefix(v, "go")})
		if err != nil {
			return req, fmt.Errorf("--go %s: %w", v, err)
		}
		chosen = append(chosen, t)
	}
	more, err := box.toolchains(chosen)
	if err != nil {
		return req, err
	}
	for _, t := range box {
		req.Tools = append(req.Tools, t.Tool)
	}
	slices.Sort(req.Images)
	req.Images = slices.Compact(req.Images)
	if req.Modules, err = gomod.ParseSums(sums...); err != nil {
		return req, err
	}
	req.Toolchains, err = s.toolchains(ctx, append(chosen, more...), o.Platforms)
	return req, err
}

func readTree(dir string, o Options) (planner.Needs, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return planner.Needs{}, errors.Unwrap(err)
	}
	if !info.IsDir() {
		return planner.Needs{}, errors.New("it isn't a folder")
	}
	needs, err := planner.ReadNeeds(os.DirFS(dir), planner.Request{Platforms: o.Platforms, BuildPlatform: o.Platforms[0], BuildArgs: o.BuildArgs}, !o.NoImages)
	for _, w := range needs.Warnings {
		if o.Warn != nil {
			o.Warn(dir + ": " + w)
		}
	}
	if err == nil && len(needs.Modules) == 0 && len(needs.Images) == 0 {
		err = errors.New("there is neither a go.mod nor a Dockerfile with base images in it")
	}
	return needs, err
}

// toolchains returns each toolchain once for each platform that can build.
func (s *Stocker) toolchains(ctx context.Context, chosen []gotoolchain.Toolchain, platforms []string) (list []bundle.Toolchain, err error) {
	for _, t := range chosen {
		for _, p := range platforms {
			if !slices.Contains(toolchainPlatforms, p) {
				continue
			}
			if slices.ContainsFunc(list, func(have bundle.Toolchain) bool { return have.Version == t.Version && have.Platform == p }) {
				continue
			}
			pin, ok := t.Pin(p)
			h1 := pin.H1
			if !ok {
				if h1, err = s.lookUp(ctx, t, p); err != nil {
					return nil, fmt.Errorf("the Go toolchain %s for %s has no pin: %w", t.Version, p, err)
				}
			}
			list = append(list, bundle.Toolchain{Toolchain: t, Platform: p, H1: h1})
		}
	}
	return list, nil
}

// lookUp asks the checksum database for the hash of a toolchain.
func (s *Stocker) lookUp(ctx context.Context, t gotoolchain.Toolchain, platform string) (string, error) {
	if s.Go.GOSUMDB == "off" {
		return "", errors.New("GOSUMDB=off, and only the checksum database can tell whether it is the real one: choose a release that Larder has a pin for, such as " + gotoolchain.Default)
	}
	m, err := modfetch.ToolchainModule(t.Version, platform)
	if err != nil {
		return "", err
	}
	if hash, err := s.copied(m); err != nil || hash != "" {
		return hash, err
	}
	db, err := modfetch.NewDatabase(ctx, s.Client, s.Go.GOSUMDB, s.proxies)
	if err != nil {
		return "", err
	}
	hash, err := db.Lookup(m)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the checksum database %s knows no such toolchain: is there such a release?", db.Name())
	}
	return hash, err
}

// copied returns the hash of a module from the copy of a checksum database in a bundle at hand, or "".
func (s *Stocker) copied(m module.Version) (string, error) {
	key, err := modfetch.DatabaseKey(s.Go.GOSUMDB)
	if err != nil {
		return "", err
	}
	for _, f := range s.Folders {
		if _, ok := f.FS.(*bundle.View); !ok {
			continue // the go command's cache has records, but no copy that proves them
		}
		if has, err := sumdbcopy.Has(f.FS, key, m); err != nil || !has {
			continue
		}
		db, err := sumdbcopy.NewClient(f.FS, key)
		if err != nil {
			return "", err
		}
		lines, err := db.Lookup(m.Path, m.Version)
		if err != nil {
			return "", fmt.Errorf("%s: its copy of the checksum database: %w", f.Name, err)
		}
		for _, line := range lines {
			if sum, ok := strings.CutPrefix(line, m.Path+" "+m.Version+" "); ok {
				return sum, nil
			}
		}
	}
	return "", nil
}
