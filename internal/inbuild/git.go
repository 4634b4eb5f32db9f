package inbuild

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/larder-build/larder/internal/commit"
)

const (
	// gitDir is on PATH where a GO line stamps: Larder's binary is there by the name of git.
	gitDir = "/.larder/git"
	// commitEnv has what is known of the commit, a commit.Commit as JSON, for that git.
	commitEnv = "LARDER_COMMIT"
)

// stampEnv has the go command find Larder's git before any other.
func stampEnv(env map[string]string, facts string) {
	env["PATH"] = firstInPath(gitDir, env["PATH"])
	env[commitEnv] = facts
}

func firstInPath(dir, rest string) string { return strings.TrimSuffix(dir+":"+rest, ":") }

// runGit is git to the go command, which runs it in the root of the sources: see commit.Commit.Answer.
func runGit(args []string, stdout io.Writer) error {
	var c commit.Commit
	if err := json.Unmarshal([]byte(os.Getenv(commitEnv)), &c); err != nil {
		return &usageError{fmt.Errorf("%s: expected what is known of a commit: %w", commitEnv, err)}
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
