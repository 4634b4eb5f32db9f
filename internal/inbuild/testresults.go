package inbuild

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/internal/inbuild/junit"
	"github.com/larder-build/larder/internal/inbuild/testjson"
	"github.com/larder-build/larder/internal/step"
)

// runTestResults joins the records of lines with --record. The folder s.From has a folder for each line, named by the
// line's number. It writes junit.xml, test.json, test.txt, exit-code and, if there are any, cover.out and seeds/ to
// s.Out.
func runTestResults(ctx context.Context, s *step.TestResults, to output) error {
	records, err := recordFolders(s.From)
	if err != nil {
		return fmt.Errorf("reading test results: %w", err)
	}
	if err := os.MkdirAll(s.Out, 0o755); err != nil {
		return fmt.Errorf("writing test results: %w", err)
	}
	if err := joinResults(ctx, records, s.Out, to.stdout); err != nil {
		return fmt.Errorf("joining test results: %w", err)
	}
	return nil
}

// recordFolders returns the folders of records, in the order of their numbers.
func recordFolders(from string) ([]string, error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || !e.IsDir() {
			return nil, fmt.Errorf("%s is no folder of a GO test line", filepath.Join(from, e.Name()))
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	var dirs []string
	for _, n := range numbers {
		dirs = append(dirs, filepath.Join(from, strconv.Itoa(n)))
	}
	return dirs, nil
}

func joinResults(ctx context.Context, records []string, to string, stdout io.Writer) (err error) {
	var out [2]*os.File
	for i, name := range []string{testJSON, testText} {
		if out[i], err = os.OpenFile(filepath.Join(to, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out[i].Close()) }()
	}
	worst := "0"
	var all junit.Report
	for _, dir := range records {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		code, err := joinRecord(dir, len(records) > 1, &all, out[0], out[1])
		if err != nil {
			return err
		}
		if code != "0" {
			worst = code
		}
		if err := copySeeds(filepath.Join(dir, testSeeds), filepath.Join(to, testSeeds)); err != nil {
			return err
		}
	}
	if err := writeReport(&all, filepath.Join(to, testJUnit)); err != nil {
		return err
	}
	if err := joinCoverage(records, filepath.Join(to, testCover)); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "results of %d GO test lines: exit code %s\n", len(records), worst)
	return os.WriteFile(filepath.Join(to, testExit), []byte(worst+"\n"), 0o644)
}

// joinRecord adds the events and the text of one line, and returns its exit code.
func joinRecord(dir string, several bool, all *junit.Report, events, text io.Writer) (code string, err error) {
	read := func(name string) string {
		data, readErr := os.ReadFile(filepath.Join(dir, name))
		err = errors.Join(err, readErr)
		return string(data)
	}
	code = strings.TrimSpace(read(testExit))
	line, stderr := read(testLine), read(testStderr)
	if err != nil {
		return "", err
	}
	if several {
		fmt.Fprintf(text, "# GO %s\n", strings.TrimSpace(line))
	}
	lines := testjson.NewLines(func(line []byte) {
		if e, ok := testjson.Parse(line); ok {
			all.Add(e)
		}
	})
	if err := appendFile(io.MultiWriter(events, lines), filepath.Join(dir, testJSON)); err != nil {
		return "", err
	}
	lines.Flush()
	if code != "0" {
		all.Fail(stderr)
	}
	return code, appendFile(text, filepath.Join(dir, testText))
}

func appendFile(to io.Writer, name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(to, in)
	return err
}

func copySeeds(from, to string) error {
	in, err := fuzzInputs(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range in.names {
		if err == nil {
			err = copyFile(filepath.Join(from, name), filepath.Join(to, name))
		}
	}
	return err
}

// joinCoverage joins the coverage profiles of all lines into one. If one profile only says whether a block was run, and
// another how often, the joined profile says only whether.
func joinCoverage(records []string, to string) error {
	var modes []string
	for _, dir := range records {
		err := readCoverage(filepath.Join(dir, testCover), func(mode string) error {
			modes = append(modes, mode)
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
	if len(modes) == 0 {
		return nil
	}
	mode := modes[0]
	if slices.ContainsFunc(modes, func(m string) bool { return m != mode }) {
		mode = "set"
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, "mode: %s\n", mode)
	for _, dir := range records {
		if err == nil {
			err = readCoverage(filepath.Join(dir, testCover), nil, func(block string) {
				if i := strings.LastIndexByte(block, ' '); mode == "set" && i > 0 && block[i+1:] != "0" {
					block = block[:i] + " 1"
				}
				fmt.Fprintln(w, block)
			})
		}
	}
	return errors.Join(err, w.Flush(), f.Close())
}

// readCoverage reads a profile, if it exists: see 'go doc golang.org/x/tools/cover'. If block is nil, it reads only the
// first line.
func readCoverage(name string, mode func(string) error, block func(string)) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for first := true; lines.Scan(); first = false {
		m, ok := strings.CutPrefix(lines.Text(), "mode: ")
		switch {
		case first && !ok:
			return fmt.Errorf("%s is no coverage profile: it starts with %q", name, lines.Text())
		case first && mode != nil:
			return mode(m)
		case !ok:
			block(lines.Text())
		}
	}
	return lines.Err()
}

// runTestVerdict fails if tests failed, as the result of the step test-results shows.
func runTestVerdict(_ context.Context, s *step.TestVerdict, to output) error {
	code, err := os.ReadFile(filepath.Join(s.From, testExit))
	if err != nil {
		return fmt.Errorf("reading test results: %w", err)
	}
	if strings.TrimSpace(string(code)) == "0" {
		fmt.Fprintln(to.stdout, "all tests passed")
		return nil
	}
	if err := appendFile(to.stdout, filepath.Join(s.From, testText)); err != nil {
		return fmt.Errorf("reading test results: %w", err)
	}
	return fmt.Errorf("tests failed: the target larder-test-results exports what they said; before an edit, they are only run again with --no-cache-filter=%s", s.Stages)
}
