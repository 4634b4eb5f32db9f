package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"go.yaml.in/yaml/v3"
)

// A chore is a shell command that is to be run again and again.
type chore struct {
	Name  string        `yaml:"name"`
	Every time.Duration `yaml:"every"`
	Run   string        `yaml:"run"`
}

func load(file string) ([]chore, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var chores []chore
	if err := yaml.Unmarshal(data, &chores); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, c := range chores {
		if c.Name == "" || c.Run == "" || c.Every <= 0 {
			return nil, fmt.Errorf("%s: %+v: want a name, something to run, and every how long", file, c)
		}
	}
	return chores, nil
}

// do runs the command until it ends or ctx is done.
func (c chore) do(ctx context.Context, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "sh", "-euc", c.Run)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}

// repeat runs the command until ctx is done. A failure is no reason to end: the next time it may work.
func (c chore) repeat(ctx context.Context, out io.Writer) {
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for {
		if err := c.do(ctx, out); err != nil && ctx.Err() == nil {
			slog.Error("failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
