package inbuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/larder-build/larder/internal/commit"
	"github.com/larder-build/larder/internal/step"
)

// gitDir is the folder of Larder's git. It is on PATH if a GO line stamps.
var gitDir = path.Dir(step.Git)

// stampEnv changes PATH so that the go command finds Larder's git before any other, and passes the facts to it.
func stampEnv(env map[string]string, facts string) {
	env["PATH"] = firstInPath(gitDir, env["PATH"])
	env[step.CommitEnv] = facts
}

func firstInPath(dir, rest string) string { return strings.TrimSuffix(dir+":"+rest, ":") }

// runGit is the git that the go command finds. It runs in the root of the sources: see commit.Commit.Answer.
func runGit(_ context.Context, args []string, stdout, _ io.Writer) error {
	var c commit.Commit
	if err := json.Unmarshal([]byte(os.Getenv(step.CommitEnv)), &c); err != nil {
		return &step.UsageError{Err: fmt.Errorf("%s: expected what is known of a commit: %w", step.CommitEnv, err)}
	}
	root, err := os.OpenRoot(".")
	if err != nil {
		return err
	}
	defer root.Close()
	answer, err := c.Answer(args, root.ReadFile)
	_, werr := io.WriteString(stdout, answer)
	return errors.Join(err, werr)
}
