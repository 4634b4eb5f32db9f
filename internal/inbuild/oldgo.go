package inbuild

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/cacheprog"
	"github.com/larder-build/larder/internal/gomod"
)

// asksCacheProg reports whether a go command takes compiled packages from GOCACHEPROG. One that doesn't has GOCACHE alone.
// It goes by GOROOT/VERSION; without one, as in a GOROOT of somebody's own making, it is a newer one.
func asksCacheProg(goCommand string) bool {
	file, err := exec.LookPath(goCommand)
	if err != nil {
		return true
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return true
	}
	data, err := os.ReadFile(filepath.Join(filepath.Dir(file), "..", "VERSION"))
	if err != nil {
		return true
	}
	v, _, _ := strings.Cut(string(data), "\n")
	return gomod.HasCacheProg(v)
}

// copyDeps copies what is compiled already into the GOCACHE of a go command that takes it from nowhere else. What can't be
// copied is compiled once more.
func copyDeps(ctx context.Context, goCommand, cache string, deps ...string) error {
	if cache == "" || asksCacheProg(goCommand) {
		return nil
	}
	for _, dir := range deps {
		if dir == "" {
			continue
		}
		_, err := cacheprog.Dir(cache).CopyAll(ctx, cacheprog.Dir(dir), time.Time{})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("copying compiled packages to GOCACHE: %w", err)
		}
	}
	return nil
}

// ownCache makes a GOCACHE in the folder where the step deps keeps what is compiled, for a go command that asks no
// program for what it uses: then all that is in it was used. The function moves it to where it is kept.
func ownCache(out string) (cache string, keep func(context.Context) error, err error) {
	cache, err = os.MkdirTemp(out, "go-build-")
	if err != nil {
		return "", nil, fmt.Errorf("making a build cache: %w", err)
	}
	return cache, func(ctx context.Context) error {
		if _, err := cacheprog.Dir(out).CopyAll(ctx, cacheprog.Dir(cache), epoch); err != nil {
			return fmt.Errorf("keeping what was compiled: %w", err)
		}
		return os.RemoveAll(cache)
	}, nil
}
