package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/cli/scaffold"
	"github.com/spf13/cobra"
)

// initFlags are the flags of larder init.
type initFlags struct {
	dryRun, force, syntaxOnly bool
}

func (c *command) init() *cobra.Command {
	f := &initFlags{}
	cmd := &cobra.Command{
		Use:   "init [OPTIONS] [DIR]",
		Short: "Write a Dockerfile, a bake file and a .dockerignore",
		Long: "Write a Dockerfile, docker-bake.hcl and .dockerignore for the Go modules of a folder,\n" +
			"by what is in it: modules, main packages, ports, tests, cgo, and ko's .ko.yaml.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return c.runInit(f, dir)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		Example: `  larder init
  larder init --syntax-only services/api`,
		DisableFlagsInUseLine: true,
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.dryRun, "dry-run", false, "Print what would be written")
	flags.BoolVar(&f.force, "force", false, "Overwrite files that are there")
	flags.BoolVar(&f.syntaxOnly, "syntax-only", false, "Change the first line of the Dockerfile that is there, and nothing else")
	cmd.MarkFlagsMutuallyExclusive("force", "syntax-only")
	return cmd
}

func (c *command) runInit(f *initFlags, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	old, err := readFiles(root, scaffold.Dockerfile, scaffold.BakeFile, scaffold.DockerIgnore)
	if err != nil {
		return err
	}
	dockerfile, exists := old[scaffold.Dockerfile]
	if f.syntaxOnly {
		if !exists {
			return fmt.Errorf("--syntax-only: there is no %s in %s: leave the flag out to write one", scaffold.Dockerfile, dir)
		}
		text, err := scaffold.SetSyntax([]byte(dockerfile))
		if err != nil {
			return err
		}
		return c.writeScaffold(f, dir, old, []scaffold.File{{Name: scaffold.Dockerfile, Text: string(text)}})
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	result, err := scaffold.New(root.FS(), scaffold.Options{Name: filepath.Base(abs), GOPRIVATE: c.env["GOPRIVATE"], Progress: eachSecond(c.stderr, "reading "+dir)})
	if err != nil {
		return err
	}
	if exists && dockerfile != result.Files[0].Text && !f.force && !f.dryRun {
		if scaffold.IsGoDockerfile([]byte(dockerfile)) {
			fmt.Fprintf(c.stdout, "%s is a Go Dockerfile already: nothing to do\n", filepath.Join(dir, scaffold.Dockerfile))
			return nil
		}
		return fmt.Errorf("%s is there: 'larder init --syntax-only' makes it a Go Dockerfile by its first line, and --force writes another in its place", filepath.Join(dir, scaffold.Dockerfile))
	}
	if err := c.writeScaffold(f, dir, old, result.Files); err != nil || f.dryRun {
		return err
	}
	for _, p := range result.Programs {
		fmt.Fprintln(c.stdout, "image", p.Stage+":", describe(p))
	}
	for _, note := range result.Notes {
		fmt.Fprintln(c.stdout, "note:", note)
	}
	return nil
}

// eachSecond returns a function that prints progress at most once a second. It prints nothing in the first second.
func eachSecond(w io.Writer, what string) func(text string) {
	last := time.Now()
	return func(text string) {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			fmt.Fprintf(w, "%s: %s\n", what, text)
		}
	}
}

// describe says in words what a program does.
func describe(p scaffold.Program) string {
	what := p.Dir
	if p.Listens {
		what += ", a service"
	}
	if len(p.Ports) > 0 {
		what += " on " + strings.Join(p.Ports, ", ")
	}
	if p.Cgo != "" {
		what += ", with a C compiler for " + p.Cgo
	}
	return what
}

// readFiles reads the files that exist.
func readFiles(root *os.Root, names ...string) (map[string]string, error) {
	files := map[string]string{}
	for _, name := range names {
		data, err := root.ReadFile(name)
		if err == nil {
			files[name] = string(data)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return files, nil
}

// writeScaffold writes files that don't exist or differ from the existing ones, and prints what it did. It keeps an
// existing file unless it is told to overwrite it. A dry run prints the files as a txtar archive.
func (c *command) writeScaffold(f *initFlags, dir string, old map[string]string, files []scaffold.File) error {
	wrote := false
	for _, file := range files {
		name := filepath.Join(dir, file.Name)
		text, exists := old[file.Name]
		switch {
		case f.dryRun:
			fmt.Fprintf(c.stdout, "-- %s --\n%s", file.Name, file.Text)
			continue
		case exists && text == file.Text:
			continue
		case exists && !f.force && !f.syntaxOnly:
			fmt.Fprintf(c.stdout, "kept  %s: it is there, and --force overwrites it\n", name)
			continue
		}
		if err := atomicfile.Write(name, []byte(file.Text)); err != nil {
			return err
		}
		wrote = true
		fmt.Fprintf(c.stdout, "wrote %s\n", name)
	}
	if !wrote && !f.dryRun {
		fmt.Fprintln(c.stdout, "nothing to do")
	}
	return nil
}
