package main

import (
	"debug/elf"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"larder": main})
}

// TestScripts runs the command as users do. No script here needs a builder;
// those that build are elsewhere.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond != "static" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return static()
		},
	})
}

// static says whether this binary could run inside a build, which one that is
// tested with the race detector can't.
func static() (bool, error) {
	path, err := os.Executable()
	if err != nil {
		return false, err
	}
	f, err := elf.Open(path)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false, nil
		}
	}
	return true, nil
}
