package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/syntax"
)

// useBundle has a build take from a bundle what it would fetch, and tells how buildx would be told to. A context that
// the user names stays theirs.
func (c *command) useBundle(flags *pflag.FlagSet, f *buildFlags) error {
	b, err := c.openOrPull(f.bundle, f.registry)
	if err != nil {
		return fmt.Errorf("--bundle: %w", err)
	}
	if since := b.Since(); since != "" {
		return fmt.Errorf("--bundle %s: it is a delta to the bundle %s: apply it there with 'larder bundle apply', and build from that", f.bundle, since)
	}
	contexts := b.Contexts()
	if !f.quiet {
		fmt.Fprintf(c.stderr, "# The same by buildx, and by bake:\n%s\n%s\n", buildxCommand(flags, contexts, f.Context), bakeCommand(contexts, f))
	}
	f.BuildContexts = append(contexts, f.BuildContexts...)
	return nil
}

// openOrPull opens a bundle in a folder, or one in a registry, which is kept in the user's cache folder for the next time.
func (c *command) openOrPull(name string, from registryFlags) (*bundle.Bundle, error) {
	if _, err := os.Stat(name); err == nil || !strings.Contains(name, "/") || strings.HasPrefix(name, ".") || filepath.IsAbs(name) {
		return bundle.Open(name)
	}
	cache := c.env["XDG_CACHE_HOME"]
	if cache == "" {
		cache = filepath.Join(c.env["HOME"], ".cache")
	}
	client, err := c.registries(from)
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

// own are the flags of larder build that buildx hasn't, or by whose names it understands something else.
var own = []string{"bundle", "ca", "plain-http", "builder", "state", "tlscacert", "tlscert", "tlskey", "tlsservername"}

// buildxCommand is the command with the flags that the user gave, and a bundle's named contexts.
func buildxCommand(flags *pflag.FlagSet, contexts []string, folder string) string {
	words := []string{"docker buildx build"}
	for _, ctx := range contexts {
		words = append(words, "--build-context "+quote(ctx))
	}
	flags.Visit(func(f *pflag.Flag) {
		list, isList := f.Value.(pflag.SliceValue)
		switch {
		case slices.Contains(own, f.Name):
		case isList:
			for _, v := range list.GetSlice() {
				words = append(words, "--"+f.Name+" "+quote(v))
			}
		case f.Value.Type() == "bool":
			words = append(words, "--"+f.Name+"="+f.Value.String())
		default:
			words = append(words, "--"+f.Name+" "+quote(f.Value.String()))
		}
	})
	return strings.Join(append(words, quote(filepath.ToSlash(folder))), " ")
}

// bakeCommand overrides what a bake file has of named contexts, build arguments and platforms. All else is the file's.
func bakeCommand(contexts []string, f *buildFlags) string {
	words := []string{"docker buildx bake"}
	set := func(key, value string) { words = append(words, "--set "+quote("*."+key+value)) }
	for _, ctx := range contexts {
		set("contexts.", ctx)
	}
	for _, arg := range f.BuildArgs {
		if strings.Contains(arg, "=") { // else the value is in the environment, which bake doesn't read
			set("args.", arg)
		}
	}
	if len(f.Platforms) > 0 {
		set("platform=", strings.Join(f.Platforms, ","))
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
