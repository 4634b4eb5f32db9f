package request

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/tonistiigi/go-csvvalue"
)

// Call is a question to the frontend, asked with --call.
type Call struct {
	Name         string // lint, outline, targets or ConvertLLB
	JSON         bool
	IgnoreStatus bool
}

// parseCall parses --call METHOD[,format=json][,ignorestatus=true]. It returns nil for a build.
func parseCall(v string) (*Call, error) {
	if v == "" || v == "build" {
		return nil, nil
	}
	fields, err := csvvalue.Fields(v, nil)
	if err != nil {
		return nil, fmt.Errorf("--call %q: %w", v, err)
	}
	c := &Call{}
	for _, f := range fields {
		switch k, val, _ := strings.Cut(f, "="); k {
		case "check", "lint":
			c.Name = "lint"
		case "outline", "targets", ConvertLLB:
			c.Name = k
		case "format":
			c.JSON = val == "json"
		case "ignorestatus":
			if c.IgnoreStatus, err = strconv.ParseBool(val); err != nil {
				return nil, fmt.Errorf("--call %q: ignorestatus=%s: want true or false", v, val)
			}
		default:
			return nil, fmt.Errorf("--call %q: unknown method %q: one of build, check, outline, targets", v, k)
		}
	}
	if c.Name == "" {
		return nil, fmt.Errorf("--call %q: a method is needed: one of build, check, outline, targets", v)
	}
	return c, nil
}

// Print writes the answer, found in the metadata of the frontend's result, and
// returns the exit status that goes with it.
func (c *Call) Print(w io.Writer, meta map[string][]byte) (status int, err error) {
	switch {
	case c.JSON:
		fmt.Fprintln(w, strings.TrimSpace(string(meta["result.json"])))
	case c.Name == "lint":
		err = printLint(w, meta)
	default:
		fmt.Fprint(w, string(meta["result.txt"]))
	}
	if err != nil || c.IgnoreStatus {
		return 0, err
	}
	status, _ = strconv.Atoi(string(meta["result.statuscode"]))
	return status, nil
}

func printLint(w io.Writer, meta map[string][]byte) error {
	var results lint.LintResults
	if err := json.Unmarshal(meta["result.json"], &results); err != nil {
		return fmt.Errorf("read the frontend's answer: %w", err)
	}
	switch n := len(results.Warnings); {
	case n == 1:
		fmt.Fprintln(w, "Check complete, 1 warning has been found!")
	case n > 1:
		fmt.Fprintf(w, "Check complete, %d warnings have been found!\n", n)
	case results.Error == nil:
		fmt.Fprintln(w, "Check complete, no warnings found.")
	}
	if err := results.PrintTo(w, nil); err != nil {
		return err
	}
	if results.Error != nil {
		results.PrintErrorTo(w, nil)
	}
	return nil
}
