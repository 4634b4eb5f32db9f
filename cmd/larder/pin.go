package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/pin"
	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
)

// maxPinned is the largest size of a Dockerfile that is read, in bytes.
const maxPinned = 2 << 20

func (c *command) pin() *cobra.Command {
	var f bundleFlags
	var check bool
	cmd := &cobra.Command{
		Use:   "pin [OPTIONS] FILE...",
		Short: "Write the digests of images beside their tags in Dockerfiles",
		Long: "Write the digests of images beside their tags in Dockerfiles, as NAME:TAG@DIGEST: of those in\n" +
			"FROM, COPY --from, RUN --mount=from and the syntax line. FROM go:1.26 gets the release that it\n" +
			"stands for. A digest that is there is brought up to what the tag names now. Nothing else in a\n" +
			"file changes, and if a digest can't be had no file does. FILE may be a folder that has a\n" +
			"Dockerfile.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("'%s' requires at least 1 argument\n\n%s", cmd.CommandPath(), hint(cmd))
			}
			if f.name == "" && f.trust.given() {
				return usageError{errors.New("--key and --min-serial are for --bundle")}
			}
			p, err := c.pinner(f)
			if err != nil {
				return err
			}
			var files []*pinnedFile
			for _, name := range args {
				file, err := p.read(c.ctx, name)
				if err != nil {
					return err
				}
				files = append(files, file)
			}
			return c.writePins(files, check)
		},
		Example: `  larder pin Dockerfile
  larder pin --check --bundle bundle Dockerfile deploy/Dockerfile`,
		DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.BoolVar(&check, "check", false, "Change nothing, and fail if a digest is missing or its tag names another now")
	flags.StringVar(&f.name, "bundle", "", "Take digests and releases from a bundle, a folder or a reference in a registry, and ask no other registry")
	f.trust.register(flags)
	f.registry.register(flags)
	return cmd
}

// A pinner finds the digests of images and the releases of Go.
type pinner struct {
	digestOf func(ctx context.Context, image string) (digest.Digest, error)
	release  func(ctx context.Context, of string) (string, error) // of 1.26: 1.26.10
	known    map[string]digest.Digest
	warn     func(string)
}

// pinner returns a pinner that asks a bundle or, without --bundle, registries.
func (c *command) pinner(f bundleFlags) (*pinner, error) {
	p := &pinner{known: map[string]digest.Digest{}, warn: c.warn}
	if f.name != "" {
		b, err := c.openOrPull(f)
		if err != nil {
			return nil, fmt.Errorf("--bundle: %w", err)
		}
		p.digestOf = b.DigestOf
		p.release = func(ctx context.Context, of string) (string, error) {
			name, err := b.NewestRelease(ctx, "go"+of)
			return strings.TrimPrefix(name, "go"), err
		}
		return p, nil
	}
	client, err := c.registries(f.registry)
	if err != nil {
		return nil, err
	}
	p.digestOf = client.Digest
	p.release = func(_ context.Context, of string) (string, error) {
		t, err := gotoolchain.Choose(gotoolchain.Request{From: of})
		return strings.TrimPrefix(t.Version, "go"), err
	}
	return p, nil
}

// A pinnedFile is a Dockerfile and the edits that pin its images.
type pinnedFile struct {
	dockerfile.File
	edits []dockerfile.Edit
	told  []string // what isn't as it should be
}

// read reads a Dockerfile, and finds the names that aren't pinned.
func (p *pinner) read(ctx context.Context, name string) (*pinnedFile, error) {
	data, name, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	f := &pinnedFile{File: dockerfile.Parse(name, data)}
	names, left, err := pin.Find(f.File)
	if err != nil {
		return nil, err
	}
	for _, l := range left {
		p.warn(fmt.Sprintf("%s:%d: left alone: %s: %s", name, l.Line, l.Text, l.Why))
	}
	for _, n := range names {
		text, err := p.text(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n.Line, err)
		}
		if text == n.Text {
			continue
		}
		f.edits = append(f.edits, n.Edit(text))
		why := "isn't pinned: it is " + text
		if n.Digest != "" {
			why = "has moved: it is " + text
		}
		f.told = append(f.told, fmt.Sprintf("%s:%d: %s %s", name, n.Line, n.Text, why))
	}
	return f, nil
}

// text returns the text that replaces a name. Each image is looked up once.
func (p *pinner) text(ctx context.Context, n pin.Name) (string, error) {
	if n.Release != "" {
		release, err := p.release(ctx, n.Release)
		return "go:" + release, err
	}
	d, ok := p.known[n.Image]
	if !ok {
		var err error
		if d, err = p.digestOf(ctx, n.Image); err != nil {
			return "", err
		}
		p.known[n.Image] = d
	}
	if d == n.Digest {
		return n.Text, nil
	}
	return n.With(d), nil
}

// readBounded reads a Dockerfile: the named file, or the Dockerfile in the named folder.
func readBounded(name string) (data []byte, file string, err error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, "Dockerfile")
	}
	if info, err := os.Stat(name); err != nil {
		return nil, name, err
	} else if !info.Mode().IsRegular() {
		return nil, name, fmt.Errorf("%s is no file (%s)", name, info.Mode().Type())
	}
	r, err := os.Open(name)
	if err != nil {
		return nil, name, err
	}
	defer r.Close()
	data, err = io.ReadAll(io.LimitReader(r, maxPinned+1))
	if err == nil && len(data) > maxPinned {
		err = fmt.Errorf("%s has over %d bytes: it is no Dockerfile", name, maxPinned)
	}
	return data, name, err
}

// writePins writes the files. With check it writes nothing, and fails if a file would change.
func (c *command) writePins(files []*pinnedFile, check bool) error {
	count := 0
	for _, f := range files {
		count += len(f.told)
		for _, text := range f.told {
			fmt.Fprintln(c.stdout, text)
		}
	}
	if check && count > 0 {
		return fmt.Errorf("%d names aren't pinned to what they are now: run 'larder pin' without --check", count)
	}
	for _, f := range files {
		if len(f.edits) == 0 {
			continue
		}
		if err := replaceFile(f.Name, f.Apply(f.edits)); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile replaces a file, or the target of a symbolic link, and keeps the file's mode.
func replaceFile(name string, data []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(name, data); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return os.Chmod(name, info.Mode().Perm())
}
