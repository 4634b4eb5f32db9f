package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// A Tool is a program that can be installed from the bundle.
type Tool struct {
	Name         string // the last element of its package's path
	Package      string
	Version      string
	GoMod, GoSum []byte // of a module that requires just that tool
}

// ToolName returns the name that go install gives the binary of a package.
func ToolName(pkg string) string {
	if prefix, version, ok := module.SplitPathVersion(pkg); ok && version != "" {
		return path.Base(prefix)
	}
	return path.Base(pkg)
}

// files returns the files of a tool in the image ToolsName.
func (t Tool) files() []file {
	return []file{memoryFile(path.Join(t.Name, "go.mod"), t.GoMod), memoryFile(path.Join(t.Name, "go.sum"), t.GoSum), memoryFile(path.Join(t.Name, "package"), []byte(t.Package+"\n"))}
}

// Tools returns the tools that can be installed from the bundle.
func (b *Bundle) Tools(ctx context.Context) (list []Tool, err error) {
	v, err := b.View(ctx, ToolsName)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	entries, err := v.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		t, err := readTool(v, e.Name())
		if err != nil {
			return nil, fmt.Errorf("%s: the tool %s: %w", b.dir, e.Name(), err)
		}
		list = append(list, t)
	}
	return list, nil
}

func readTool(v *View, name string) (t Tool, err error) {
	t.Name = name
	var pkg []byte
	for file, data := range map[string]*[]byte{"go.mod": &t.GoMod, "go.sum": &t.GoSum, "package": &pkg} {
		if *data, err = fs.ReadFile(v, path.Join(name, file)); err != nil {
			return t, err
		}
	}
	t.Package = strings.TrimSuffix(string(pkg), "\n")
	mod, err := modfile.ParseLax("go.mod", t.GoMod, nil)
	if err != nil {
		return t, err
	}
	var require []module.Version
	for _, r := range mod.Require {
		require = append(require, r.Mod)
	}
	t.Version = gomod.ModuleOf(t.Package, require).Version
	return t, nil
}

// checkTool checks that the files from which a tool is built agree with the manifest.
func checkTool(v *View, i Item) error {
	t, err := readTool(v, ToolName(i.Name))
	if err != nil {
		return err
	}
	if t.Package != i.Name || t.Version != i.Version {
		return fmt.Errorf("its files are of %s@%s", t.Package, t.Version)
	}
	if got := digest.FromBytes(t.GoSum); got != i.Digest || int64(len(t.GoSum)) != i.Size {
		return fmt.Errorf("its go.sum has %d bytes and digest %s, the manifest says %d and %s", len(t.GoSum), got, i.Size, i.Digest)
	}
	return nil
}
