package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/opencontainers/go-digest"
	"mvdan.cc/sh/v3/syntax"
)

// useBundle has a build take from a bundle what it would fetch, and tells how buildx would be told to. A context that
// the user names stays theirs.
func (c *command) useBundle(f *buildFlags) error {
	b, err := c.openOrPull(f.bundle)
	if err != nil {
		return fmt.Errorf("--bundle: %w", err)
	}
	if since := b.Since(); since != "" {
		return fmt.Errorf("--bundle %s: it is a delta to the bundle %s: apply it there with 'larder bundle apply', and build from that", f.bundle, since)
	}
	contexts := b.Contexts()
	if !f.quiet {
		fmt.Fprintf(c.stderr, "# The same by buildx, and by bake:\n%s\n%s\n", buildxCommand(contexts, f), bakeCommand(contexts))
	}
	f.BuildContexts = append(contexts, f.BuildContexts...)
	return nil
}

// openOrPull opens a bundle in a folder, or one in a registry, which is kept in the user's cache folder for the next time.
func (c *command) openOrPull(name string) (*bundle.Bundle, error) {
	if _, err := os.Stat(name); err == nil || !strings.Contains(name, "/") || strings.HasPrefix(name, ".") || filepath.IsAbs(name) {
		return bundle.Open(name)
	}
	cache := c.env["XDG_CACHE_HOME"]
	if cache == "" {
		cache = filepath.Join(c.env["HOME"], ".cache")
	}
	client, err := c.registries("", nil)
	if err != nil {
		return nil, err
	}
	tally, err := c.tally("auto", "pulled")
	if err != nil {
		return nil, err
	}
	defer tally.stop()
	b, _, err := bundle.Pull(c.ctx, filepath.Join(cache, "larder", "bundles", digest.FromString(name).Encoded()), name, client, tally.add)
	return b, err
}

func buildxCommand(contexts []string, f *buildFlags) string {
	words := []string{"docker buildx build"}
	for _, ctx := range contexts {
		words = append(words, "--build-context "+quote(ctx))
	}
	if f.File != "" {
		words = append(words, "-f "+quote(f.File))
	}
	return strings.Join(append(words, quote(filepath.ToSlash(f.Context))), " ")
}

func bakeCommand(contexts []string) string {
	words := []string{"docker buildx bake"}
	for _, ctx := range contexts {
		words = append(words, "--set "+quote("*.contexts."+ctx))
	}
	return strings.Join(words, " ")
}

// quote writes a word for a shell.
func quote(word string) string {
	quoted, err := syntax.Quote(word, syntax.LangPOSIX)
	if err != nil {
		return word // it has a character that no shell takes, and no path has
	}
	return quoted
}
