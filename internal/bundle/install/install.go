// Package install builds tools from a bundle. It needs only the bundle and a Go toolchain, either the machine's or one
// from the bundle.
package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/bundle/goproxy"
)

// An Installer installs tools from a bundle. Go is the path of a go command. If it is empty, or older than a tool's go
// line, a toolchain from the bundle is unpacked. Env is the environment of the go command. Its settings
// about modules are replaced.
type Installer struct {
	Bundle *bundle.Bundle
	Go     string
	Env    []string
}

// Install builds a tool and puts its binary into a folder in one step, by a rename. It returns the binary's path.
func (i Installer) Install(ctx context.Context, name, dir string) (file string, err error) {
	tool, err := i.find(ctx, name)
	if err != nil {
		return "", err
	}
	work, err := os.MkdirTemp("", "larder-install-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	view, err := i.Bundle.View(ctx, bundle.ModulesName, bundle.ToolchainName)
	if err != nil {
		return "", err
	}
	defer view.Close()
	goCommand, err := i.goCommand(ctx, tool, view, work)
	if err != nil {
		return "", err
	}
	url, stop, err := serve(i.Bundle.Dir(), view)
	if err != nil {
		return "", err
	}
	defer stop()
	for name, data := range map[string][]byte{"go.mod": tool.GoMod, "go.sum": tool.GoSum} {
		if err := os.WriteFile(filepath.Join(work, name), data, 0o644); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp := filepath.Join(work, "bin")
	cmd := exec.CommandContext(ctx, goCommand, "build", "-trimpath", "-o", tmp, tool.Package)
	cmd.Dir = work
	// go.sum has all hashes, and the bundle was made by them: the checksum database has nothing to add.
	cmd.Env = append(slices.Clone(i.Env), "GOPROXY="+url, "GOSUMDB=off", "GOPRIVATE=", "GONOPROXY=none", "GONOSUMDB=", "GOFLAGS=-mod=readonly -modcacherw", "GOWORK=off", "GOENV=off",
		"GOTOOLCHAIN=local", "GOVCS=*:off", "GOMODCACHE="+filepath.Join(work, "mod"), "GOOS=", "GOARCH=")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", errors.Join(ctx.Err(), fmt.Errorf("building %s@%s: %w\n%s", tool.Package, tool.Version, err, strings.TrimSpace(said.String())))
	}
	file = filepath.Join(dir, tool.Name)
	return file, move(tmp, file)
}

func (i Installer) find(ctx context.Context, name string) (bundle.Tool, error) {
	tools, err := i.Bundle.Tools(ctx)
	if err != nil {
		return bundle.Tool{}, err
	}
	var names []string
	for _, t := range tools {
		if t.Name == name || t.Package == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	has := "it has no tools"
	if len(names) > 0 {
		has = "it has " + strings.Join(names, ", ")
	}
	return bundle.Tool{}, fmt.Errorf("%s has no tool %s (%s): make the bundle with --tool PACKAGE@VERSION, or of a tree whose go.mod has a tool line for it", i.Bundle.Dir(), name, has)
}

// serve starts a module proxy on the loopback interface. It runs until stop is called.
func serve(dir string, files fs.FS) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: goproxy.New(goproxy.SourceOf(dir, files))}
	go func() { _ = srv.Serve(l) }() // it ends with stop
	return "http://" + l.Addr().String(), func() { srv.Close() }, nil
}

// move copies a file, which may be on another file system, and then renames the copy.
func move(from, to string) error {
	tmp := to + ".part"
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Chmod(0o755), w.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, to)
}
