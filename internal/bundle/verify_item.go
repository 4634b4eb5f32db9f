package bundle

import (
	"fmt"
	"io"
	"path"

	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/replay"
	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// kinds are the kinds of items that each image may hold. Without this check a zip could pass for a plain file, which
// has no h1 hash to check.
var kinds = map[string][]string{
	ModulesName: {KindModule, KindGoMod}, ToolchainName: {KindToolchain}, SumDBName: {KindSumDB}, ToolsName: {KindTool},
	VulnDBName: {KindFile}, FilesName: {KindFile}, RecordedName: {KindFile, KindAnswer},
}

// files returns the names that the files of an item have in its image.
func (i Item) files() (names []string, err error) {
	m := gomod.Sum{Path: i.Name, Version: i.Version}
	exts := map[string][]string{KindModule: {".zip", ".mod", ".info"}, KindGoMod: {".mod", ".info"}, KindToolchain: {".zip"}}[i.Kind]
	switch i.Kind {
	case KindModule:
		if i.GoModH1 == "" {
			exts = []string{".zip", ".info"}
		}
	case KindToolchain:
		m = i.toolchain()
	case KindFile:
		return []string{i.Name}, nil
	case KindAnswer:
		if err := i.Digest.Validate(); err != nil {
			return nil, err
		}
		return []string{replay.BodyName(i.Digest)}, nil
	case KindTool:
		if err := module.CheckImportPath(i.Name); err != nil {
			return nil, err
		}
		for _, f := range (Tool{Name: ToolName(i.Name)}).files() {
			names = append(names, f.name)
		}
		return names, nil
	}
	if len(exts) > 0 {
		if err := module.Check(m.Path, m.Version); err != nil {
			return nil, err
		}
	}
	for _, ext := range exts {
		name, err := m.File(ext)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// item checks the files of one item against the manifest, and against go.sum and pins where they list it.
func (v *verification) item(view *View, i Item) {
	names, err := i.files()
	if err != nil {
		v.progress.Done(i.ID(), 0)
		return // it was told
	}
	var errs []error
	if i.Kind == KindTool {
		names, errs = nil, []error{checkTool(view, i)} // its files are checked as one
	}
	for _, name := range names {
		errs = append(errs, v.itemFile(view, i, name))
	}
	for _, err := range errs {
		if err != nil {
			v.fail(fmt.Errorf("%s: %s: %w", v.b.dir, i.ID(), err))
		}
	}
	v.progress.Done(i.ID(), i.Size)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch i.Kind {
	case KindModule:
		v.count.Modules++
	case KindGoMod:
		v.count.GoMods++
	case KindToolchain:
		v.count.Toolchains++
	case KindTool:
		v.count.Tools++
	case KindFile:
		v.count.Files++
	case KindAnswer:
		v.count.Answers++
	}
}

func (v *verification) itemFile(view *View, i Item, name string) error {
	e, err := view.find("open", name)
	if err != nil || e.layer == nil {
		return fmt.Errorf("the bundle lacks its file %s", name)
	}
	ext := path.Ext(name)
	own := i.Kind == KindFile || i.Kind == KindAnswer || i.Kind == KindGoMod && ext == ".mod" || ext == ".zip" // the one that the item's size and digest are of
	if own {
		if e.size != i.Size {
			return fmt.Errorf("%s has %d bytes, the manifest says %d", name, e.size, i.Size)
		}
		if i.Kind == KindAnswer && v.right(i.Digest) {
			return nil // another answer has that body, too
		}
		got, err := digest.FromReader(io.NewSectionReader(e, 0, e.size))
		if err != nil || got != i.Digest {
			return fmt.Errorf("%s has digest %s, the manifest says %s", name, got, i.Digest)
		}
		if i.Kind == KindAnswer {
			v.note(i.Digest)
		}
	}
	sum := gomod.Sum{Path: i.Name, Version: i.Version, Hash: i.H1}
	switch {
	case i.Kind == KindFile || i.Kind == KindAnswer || ext == ".info":
		return nil
	case ext == ".mod":
		sum.GoMod, sum.Hash = true, i.GoModH1
	case i.Kind == KindToolchain:
		sum = i.toolchain()
		if pin, ok := (gotoolchain.Toolchain{Version: i.Version}).Pin(i.Platform); ok && pin.H1 != i.H1 {
			return fmt.Errorf("the manifest says %s, and Larder's pin of it is %s: this is not the toolchain that Go's makers published", i.H1, pin.H1)
		}
	}
	return v.sum(e, name, sum)
}

// right reports whether note was called for a body.
func (v *verification) right(body digest.Digest) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.bodies[body]
}

// note remembers that a body has the right digest.
func (v *verification) note(body digest.Digest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.bodies == nil {
		v.bodies = map[digest.Digest]bool{}
	}
	v.bodies[body] = true
}

// sum checks the hash of a zip or go.mod file.
func (v *verification) sum(e *entry, name string, s gomod.Sum) error {
	var got string
	var err error
	if s.GoMod {
		if e.size > modzip.MaxGoMod {
			return fmt.Errorf("%s has %d bytes: the go command allows %d", name, e.size, int64(modzip.MaxGoMod))
		}
		var data []byte
		if data, err = io.ReadAll(io.NewSectionReader(e, 0, e.size)); err == nil {
			got, err = modfetch.HashMod(data)
		}
	} else if err = modfetch.CheckZipIn(s.Module(), e, e.size); err == nil {
		got, err = modfetch.HashZip(e, e.size)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if got != s.Hash {
		return fmt.Errorf("%s has %s, the manifest says %s", name, got, s.Hash)
	}
	line := s
	line.Hash = ""
	v.mu.Lock()
	defer v.mu.Unlock()
	want, ok := v.known[line]
	if ok && want != got {
		return fmt.Errorf("%s has %s, go.sum says %s: one of the two was changed; don't use this bundle before you know which", name, got, want)
	}
	delete(v.known, line)
	v.proved[s] = ok
	return nil
}
