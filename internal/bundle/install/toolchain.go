package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/inbuild"
	"golang.org/x/mod/modfile"
)

// goCommand returns the path of the go command that builds a tool. It is the machine's if that is new enough for the
// tool's go line, otherwise the one of the bundle's newest toolchain.
func (i Installer) goCommand(ctx context.Context, tool bundle.Tool, view fs.FS, work string) (string, error) {
	mod, err := modfile.ParseLax("go.mod", tool.GoMod, nil)
	if err != nil {
		return "", fmt.Errorf("%s: the tool %s: %w", i.Bundle.Dir(), tool.Name, err)
	}
	need := cmp.Or(gotoolchain.ModVersions("", mod).Go, "1.16") // without a go line the go command takes it for that
	lacks := "there is no go command on this machine"
	if i.Go != "" {
		has, err := i.machineGo(ctx, work)
		if err != nil {
			return "", err
		}
		if !version.IsValid(has) || version.Compare(has, "go"+need) >= 0 { // what is no release is taken for a newer one
			return i.Go, nil
		}
		lacks = fmt.Sprintf("the go command of this machine is %s", has)
	}
	newest, err := i.newestToolchain(ctx)
	if err != nil {
		return "", err
	}
	if newest.Version == "" || version.Compare(newest.Version, "go"+need) < 0 {
		return "", fmt.Errorf("%s needs go >= %s: %s, and %s has no such toolchain for %s: install Go, or make the bundle with --go %s --platform %s",
			tool.Name, need, lacks, i.Bundle.Dir(), newest.Platform, need, newest.Platform)
	}
	return unpack(ctx, newest, view, work)
}

// machineGo returns the release of the machine's go command.
func (i Installer) machineGo(ctx context.Context, work string) (string, error) {
	cmd := exec.CommandContext(ctx, i.Go, "env", "GOVERSION")
	cmd.Dir, cmd.Env = work, append(slices.Clone(i.Env), "GOTOOLCHAIN=local", "GOENV=off", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", i.Go, err)
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ") // experiments follow it
	return release, nil
}

// newestToolchain returns the bundle's newest toolchain for this machine. If there is none, the item's version is
// empty.
func (i Installer) newestToolchain(ctx context.Context) (bundle.Item, error) {
	newest := bundle.Item{Platform: runtime.GOOS + "/" + runtime.GOARCH}
	items, err := i.Bundle.Items(ctx)
	for _, item := range items {
		if item.Kind == bundle.KindToolchain && item.Platform == newest.Platform && version.Compare(item.Version, newest.Version) > 0 {
			newest = item
		}
	}
	return newest, err
}

// unpack unpacks a toolchain and returns its go command.
func unpack(ctx context.Context, t bundle.Item, view fs.FS, work string) (string, error) {
	name, err := gotoolchain.Toolchain{Version: t.Version}.Sum(t.Platform, t.H1).File(".zip")
	if err != nil {
		return "", err
	}
	r, err := view.Open(name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	zip := filepath.Join(work, "toolchain.zip")
	w, err := os.Create(zip)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	root := filepath.Join(work, "go")
	var said strings.Builder
	if inbuild.Main(ctx, []string{"unpack-toolchain", "--zip", zip, "--h1", t.H1, "--out", root}, &said, &said) != 0 {
		return "", fmt.Errorf("the toolchain %s: %s", t.Version, strings.TrimSpace(said.String()))
	}
	return filepath.Join(root, "bin", "go"), os.Remove(zip)
}
