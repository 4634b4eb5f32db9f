package frontend

import (
	"context"
	"fmt"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
)

// This file turns the places that a plan takes toolchains and modules from into states: what each kind of planner.Source is
// in a build.

func (b *build) toolchain(ctx context.Context, steps larder.Builder, t planner.Toolchain) (llb.State, error) {
	from := larder.ToolchainSource{GOPROXY: t.Source.URL, GOSUMDB: b.ui.BuildArgs["GOSUMDB"]}
	files := planner.ToolchainPaths(t.Version, platforms.Format(steps.Platform))
	if name := t.Source.Image; name != "" {
		folder := larder.Files(llb.Image(name), files[:1], "[internal] take "+t.Version+" from "+name)
		from.Folder, from.Path, from.GOPROXY = &folder, files[0], larder.ProxyRoot
	}
	if name := t.Source.Context; name != "" {
		folder, err := b.folder(ctx, name, files)
		if err != nil {
			return llb.State{}, err
		}
		from.Folder, from.Path = &folder, b.holdsAny(ctx, name, files)
		from.GOPROXY = larder.ProxyRoot
	}
	chosen := gotoolchain.Toolchain{Version: t.Version, Why: t.Why}
	if t.Pinned && t.Source.Public() {
		from.Proxy = t.Source.URL
		def, err := steps.Download(chosen, t.Source.URL).Marshal(ctx)
		if err != nil {
			return llb.State{}, err
		}
		head, err := def.Head()
		if err != nil {
			return llb.State{}, err
		}
		b.remedies[head] = fmt.Sprintf("the Go toolchain %s can't be had from %s: use another GOPROXY, or pass a folder that holds golang.org/toolchain with --build-context %s=FOLDER", t.Version, t.Source, planner.ToolchainContext)
	}
	return steps.Toolchain(chosen, from), nil
}

func (b *build) modules(ctx context.Context, m *planner.Modules, steps larder.Builder) (larder.Modules, error) {
	return steps.Modules(m.Set, func(part gomod.Set) (larder.ModuleSource, error) { return b.moduleSource(ctx, m, part) })
}

// moduleSource returns where a part of a module set comes from.
func (b *build) moduleSource(ctx context.Context, m *planner.Modules, part gomod.Set) (larder.ModuleSource, error) {
	from := larder.ModuleSource{
		Network:   m.Network(),
		GOPRIVATE: m.VCS.GOPRIVATE, GONOPROXY: m.VCS.GONOPROXY, GOINSECURE: m.VCS.GOINSECURE, GOVCS: m.VCS.GOVCS,
	}
	files, err := larder.ModuleFiles(part)
	if err != nil {
		return from, err
	}
	for i, s := range m.Sources {
		entry := s.Keyword + s.URL
		if s.Context != "" || s.Image != "" {
			folder, err := b.sourceFolder(ctx, s, files)
			if err != nil {
				return from, err
			}
			entry = larder.ProxyFolder(len(from.Folders))
			from.Folders = append(from.Folders, folder)
		}
		if i > 0 {
			from.GOPROXY += separator(m.Sources[i-1])
			from.Label += ", "
		}
		from.GOPROXY += entry
		from.Label += s.String()
	}
	if !planner.FetchNeeded(m.Sources) {
		from.GOPROXY = ""
	}
	return from, nil
}

// sourceFolder returns a source that is laid out as a GOPROXY, with only the files that are needed.
func (b *build) sourceFolder(ctx context.Context, s planner.Source, files []string) (llb.State, error) {
	if s.Image != "" {
		return larder.Files(llb.Image(s.Image), files, "[internal] take modules from "+s.Image), nil
	}
	return b.folder(ctx, s.Context, files)
}

func separator(s planner.Source) string {
	if s.AnyErr {
		return "|"
	}
	return ","
}
