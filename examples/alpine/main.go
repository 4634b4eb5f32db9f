// Command chores runs shell commands again and again, as a file says. It needs a shell and the usual tools beside it, so
// its image has a base of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

func main() {
	file := flag.String("file", "/etc/chores.yaml", "`file` that says what to do")
	once := flag.Bool("once", false, "do each chore once, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *file, *once, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chores:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string, once bool, out io.Writer) error {
	chores, err := load(file)
	if err != nil {
		return err
	}
	if once {
		for _, c := range chores {
			err = errors.Join(err, c.do(ctx, out))
		}
		return err
	}
	var running sync.WaitGroup
	for _, c := range chores {
		running.Go(func() { c.repeat(ctx, out) })
	}
	slog.Info("started", "chores", len(chores))
	running.Wait()
	return nil
}
