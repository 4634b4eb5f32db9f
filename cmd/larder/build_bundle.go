package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/larder-build/larder/internal/proof/materials"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/syntax"
)

// bundleFlags are the flags of commands that build from a bundle.
type bundleFlags struct {
	name     string
	trust    trustFlags
	registry registryFlags
	compiled compiledFlags
	progress string // of a pull; "" for auto
}

func (f *bundleFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.name, "bundle", "", "Take modules, toolchain, base images and frontend from a bundle, a folder or a reference in a registry")
	f.trust.register(flags)
	f.registry.register(flags)
	f.compiled.register(flags)
	flags.Lookup("ca").Usage += ", for the registry of --bundle"
}

// check refuses flags that mean nothing without --bundle.
func (f *bundleFlags) check() error {
	switch {
	case f.name != "":
		return nil
	case f.registry.ca != "" || len(f.registry.plain) > 0:
		return usageError{errors.New("--ca and --plain-http are for the registry of --bundle: what the build is to trust is --secret id=ca,src=FILE")}
	case f.trust.given():
		return usageError{errors.New("--key and --min-serial are for --bundle")}
	case f.compiled.trust:
		return usageError{errors.New("--trust-compiled is for --bundle")}
	}
	return nil
}

// useBundle makes a build take its modules, its toolchain and the images that its Dockerfile names from a bundle, so
// that it needn't fetch them. They become named contexts, which it returns. A context that the user names wins.
func (c *command) useBundle(o *request.Options, f bundleFlags, h *request.Host) (u usedBundle, err error) {
	if u.Bundle, err = c.openBundle(f); err != nil || u.Bundle == nil {
		return u, err
	}
	return u, u.serve(c, o, f, h)
}

// openBundle opens the bundle of --bundle, and warns of what it finds wrong with it. It returns nil if there is no
// --bundle.
func (c *command) openBundle(f bundleFlags) (*bundle.Bundle, error) {
	if err := f.check(); err != nil || f.name == "" {
		return nil, err
	}
	b, err := c.openOrPull(f)
	if err != nil {
		return nil, fmt.Errorf("--bundle: %w", err)
	}
	if since := b.Since(); since != "" {
		return nil, fmt.Errorf("--bundle %s: it is a delta to the bundle %s: apply it there with 'larder bundle apply', and build from that", f.name, since)
	}
	for _, finding := range b.Findings() {
		c.warn(finding)
	}
	if b.HasCompiled() && !f.compiled.trusts(b) {
		c.warn("the bundle has compiled packages, and none is used: nothing shows who made them; give the key that signed the bundle with --key, or say --trust-compiled")
	}
	return b, nil
}

// serve adds the bundle's named contexts to a build's options. The flags have the name that the user called the bundle by.
func (u *usedBundle) serve(c *command, o *request.Options, f bundleFlags, h *request.Host) error {
	b, name := u.Bundle, f.name
	images, known, err := request.ImageContexts(c.ctx, *o, h)
	if err != nil {
		return err
	}
	if !known {
		c.warn("the Dockerfile isn't on this machine, so that it isn't known which images it names: of the bundle only modules and toolchain are taken")
	}
	if u.contexts, err = b.Contexts(c.ctx, images); err != nil {
		return fmt.Errorf("--bundle: %w", err)
	}
	var compiled []string
	if f.compiled.trusts(b) {
		if compiled, err = b.CompiledContexts(c.ctx); err != nil {
			return fmt.Errorf("--bundle: %w", err)
		}
	}
	o.BuildContexts = slices.Concat(u.contexts, compiled, o.BuildContexts)
	o.Bundle = &materials.Bundle{Name: name, Digest: b.Digest()}
	if b.Dir() == name {
		o.Bundle.Name = filepath.Base(name) // where it is on this machine is nobody's business
	}
	if s := b.Signed(); s != nil {
		o.Bundle.SignedBy, o.Bundle.Serial, o.Bundle.Time = s.By, s.Serial, s.Time.Format(time.RFC3339)
	}
	return nil
}

// A usedBundle is a bundle and the named contexts that a build takes from it.
type usedBundle struct {
	*bundle.Bundle // nil for none
	contexts       []string
}

// folder opens a named context if it is a folder of the bundle, and else returns nil. The spec is what follows NAME= in
// --build-context.
func (u usedBundle) folder(ctx context.Context, spec string) (fs.FS, error) {
	for _, name := range []string{bundle.ModulesName, bundle.ToolchainName} {
		if slices.Contains(u.contexts, "larder-"+name+"="+spec) {
			return u.View(ctx, name) // until the process ends
		}
	}
	return nil, nil
}

// openOrPull opens a bundle in a folder or in a registry. It keeps a pulled bundle in the user's cache folder for the
// next time. If signatures are checked, it never replaces one there by one with a lower serial.
func (c *command) openOrPull(f bundleFlags) (*bundle.Bundle, error) {
	t, err := c.trust(f.trust)
	if err != nil {
		return nil, err
	}
	name := f.name
	if _, err := os.Stat(name); err == nil || !strings.Contains(name, "/") || strings.HasPrefix(name, ".") || filepath.IsAbs(name) {
		return bundle.Open(c.ctx, name, t)
	}
	cache := c.env["XDG_CACHE_HOME"]
	if cache == "" {
		cache = filepath.Join(c.env["HOME"], ".cache")
	}
	client, err := c.registries(f.registry)
	if err != nil {
		return nil, err
	}
	d, err := c.display(cmp.Or(f.progress, "auto"))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	t.AllowOlder = len(t.Keys) == 0 // then nobody vouches for a serial
	b, _, err := bundle.Pull(c.ctx, filepath.Join(cache, "larder", "bundles", digest.FromString(name).Encoded()), name, client, t, d)
	return b, err
}

// own are the flags of larder build that buildx doesn't have, or that mean something else there.
var own = []string{"bundle", "key", "min-serial", "trust-compiled", "ca", "plain-http", "builder", "state", "tlscacert", "tlscert", "tlskey", "tlsservername"}

// buildxCommand returns the command for docker buildx build, with the user's flags and a bundle's named contexts.
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

// bakeCommand returns a command for docker buildx bake. It overrides named contexts, build arguments and platforms, and
// leaves the rest to the bake file.
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

// quote quotes a word for a shell.
func quote(word string) string {
	quoted, err := syntax.Quote(word, syntax.LangPOSIX)
	if err != nil {
		return word // it has a character that no shell takes, and no path has
	}
	return quoted
}
