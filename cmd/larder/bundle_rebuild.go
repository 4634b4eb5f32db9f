package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/gocache"
	"github.com/larder-build/larder/internal/golang/gorecipe"
	"github.com/spf13/pflag"
)

// rebuildFlags say how much of a bundle's compiled packages is compiled again.
type rebuildFlags struct {
	rebuild string
	state   string
}

func (f *rebuildFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.rebuild, "rebuild", "", `Compile as many layers of compiled packages again, picked at random, or "all", of the bundle's own modules and toolchains, and compare`)
	flags.Lookup("rebuild").NoOptDefVal = "1"
	flags.StringVar(&f.state, "state", "", "Folder in which the builder of --rebuild has its state, while it runs (default: the user's data folder)")
}

// count returns how many layers are compiled again, -1 for all.
func (f rebuildFlags) count() (int, error) {
	switch f.rebuild {
	case "":
		return 0, nil
	case "all":
		return -1, nil
	}
	n, err := strconv.Atoi(f.rebuild)
	if err != nil || n < 1 {
		return 0, usageError{fmt.Errorf("--rebuild=%s: expected a number of layers, of 1 or more, or all", f.rebuild)}
	}
	return n, nil
}

// rebuild compiles layers of compiled packages again, and tells of each entry that comes out otherwise.
func (c *command) rebuild(b *bundle.Bundle, n int, f rebuildFlags, progress string) (err error) {
	if n == 0 {
		return nil
	}
	layers, views, err := b.Compiled(c.ctx)
	defer func() { err = errors.Join(err, views.Close()) }()
	if err != nil {
		return err
	}
	of := len(layers)
	if of == 0 {
		return fmt.Errorf("--rebuild: %s has no compiled packages", b.Dir())
	}
	if n > 0 && n < of {
		rand.Shuffle(of, func(i, j int) { layers[i], layers[j] = layers[j], layers[i] })
		layers = layers[:n]
	}
	var recipes []gorecipe.Recipe
	for _, l := range layers {
		recipes = append(recipes, l.Recipe)
	}
	dir, err := os.MkdirTemp("", "larder-rebuild-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	again, err := c.compileRecipes(b, recipes, filepath.Join(dir, "compiled"), f.state, progress)
	if err != nil {
		return fmt.Errorf("compiling again: %w", err)
	}
	entries := 0
	for i, l := range layers {
		same, err := compare(l, again[i])
		if err != nil {
			return fmt.Errorf("%s: %w", b.Dir(), err)
		}
		entries += same
	}
	fmt.Fprintf(c.stdout, "compiled %d of %d layers of compiled packages again: all %d entries are the same\n", len(layers), of, entries)
	return nil
}

// maxTold bounds how many entries an error names.
const maxTold = 10

// compare compares a layer with what its recipe makes, and returns how many entries it has.
func compare(layer, again bundle.Compiled) (int, error) {
	has, err := gocache.Outputs(layer.Files)
	if err != nil {
		return 0, err
	}
	made, err := gocache.Outputs(again.Files)
	if err != nil {
		return 0, err
	}
	var wrong []error
	for _, action := range slices.Sorted(maps.Keys(has)) {
		switch output, ok := made[action]; {
		case !ok:
			wrong = append(wrong, fmt.Errorf("%s: compiling makes no such entry", gocache.EntryName(action)))
		case output != has[action]:
			wrong = append(wrong, fmt.Errorf("%s: the bundle has %s, and compiling gives %s", gocache.EntryName(action), has[action], output))
		}
	}
	for _, action := range slices.Sorted(maps.Keys(made)) {
		if _, ok := has[action]; !ok {
			wrong = append(wrong, fmt.Errorf("%s: the bundle lacks this entry", gocache.EntryName(action)))
		}
	}
	if !bytes.Equal(layer.Sources.Text(), again.Sources.Text()) {
		wrong = append(wrong, errors.New("the bundle has another list of the files that are compiled"))
	}
	if len(wrong) == 0 {
		return len(has), nil
	}
	told := wrong[:min(len(wrong), maxTold)]
	return 0, fmt.Errorf("what is compiled for %s (%s, %s) isn't what its recipe makes, in %d entries: don't use this bundle\n%w",
		layer.Recipe.Module, layer.Recipe.Platform, layer.Recipe.Toolchain, len(wrong), errors.Join(told...))
}
