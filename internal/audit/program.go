package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	maxMemory  = 4 << 30 // bytes that a process may have that reads a program
	maxSymbols = 1 << 30 // bytes of what it says of one: some hundred for each function
)

// limitMemory is for a process that reads a program: its tables may be compressed, and expand to anything.
func limitMemory() error {
	limit := unix.Rlimit{Cur: maxMemory, Max: maxMemory}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("limiting the memory that a program is read with: %w", err)
	}
	return nil
}

// runProgram returns the vulnerabilities of a program, or why it can't be read. Its symbols are taken out of it by a process
// of their own, and then looked up. Without symbols, govulncheck takes all functions for linked in: these are unknown.
func (s *scanner) runProgram(ctx context.Context, svc *service) ([]vulnerability, error) {
	p := svc.tree.program
	if found, ok := s.programs[p.file]; ok {
		return found, nil
	}
	symbols := filepath.Join(s.dir, "symbols")
	var named bool
	err := s.start(ctx, svc, nil, func(r io.Reader) (err error) {
		named, err = extract(r, symbols)
		return err
	}, "-mode=extract", p.file)
	if err != nil {
		return nil, err
	}
	found, err := s.find(ctx, svc, nil, "-mode=binary", symbols)
	if err != nil {
		return nil, err
	}
	if !named {
		for i := range found {
			found[i].reach, found[i].symbol = unknown, ""
		}
		found = worst(found)
	}
	s.programs[p.file] = found
	return found, nil
}

// extract writes what govulncheck says of a program to a file, and reports whether that has the names of functions. The form
// is that of golang.org/x/vuln/internal/scan: a head, and what is in the program.
func extract(r io.Reader, file string) (named bool, err error) {
	f, err := os.Create(file)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, io.LimitReader(r, maxSymbols+1))
	if err == nil && n > maxSymbols {
		err = fmt.Errorf("its symbols take more than %d bytes", maxSymbols)
	}
	if err != nil {
		return false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	var program struct {
		PkgSymbols []struct{} `json:"pkgSymbols"`
	}
	dec := json.NewDecoder(f)
	for range 2 {
		if err := dec.Decode(&program); err != nil {
			return false, fmt.Errorf("its symbols: %w", err)
		}
	}
	return len(program.PkgSymbols) > 0, nil
}
