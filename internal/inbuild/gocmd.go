package inbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// An exitError carries the exit code of a go command, which has said on its own what went wrong.
type exitError struct{ code int }

func (e *exitError) Error() string {
	return fmt.Sprintf("the go command failed with exit code %d", e.code)
}

// runGo runs the go command with the arguments after "--" and gives all that it wrote below the folder --stamp one
// fixed time, so that equal sources give equal layers.
func runGo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("go")
	stamp := flags.String("stamp", "", "folder whose files get a fixed time")
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); err != nil {
		return &usageError{fmt.Errorf("in-build go: %w", err)}
	}
	if *stamp == "" || flags.NArg() == 0 {
		return &usageError{errors.New("in-build go: expected --stamp DIR -- SUBCOMMAND")}
	}
	cmd := exec.CommandContext(ctx, "go", flags.Args()...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, io.MultiWriter(stderr, &said)
	if err := cmd.Run(); err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			tellAbsent(stderr, said.String())
			return &exitError{exit.ExitCode()}
		}
		return fmt.Errorf("running the go command: %w", err)
	}
	return stampTree(*stamp)
}

// tellAbsent says what to do about modules that the go command wanted to fetch, which it can't here.
func tellAbsent(w io.Writer, said string) {
	for line := range strings.Lines(said) {
		if mod, ok := strings.CutPrefix(line, "go: downloading "); ok {
			fmt.Fprintf(w, "larder: %s is needed, and not among the modules of this build: add it to the folder larder-modules, or run 'go mod tidy' if go.sum lacks it\n",
				strings.Replace(strings.TrimSpace(mod), " ", "@", 1))
		}
	}
}

// stampTree gives every file and folder below dir, and dir itself, the fixed time.
func stampTree(dir string) error {
	out, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the output folder: %w", err)
	}
	defer out.Close()
	return fs.WalkDir(out.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return out.Chtimes(name, epoch, epoch)
	})
}
