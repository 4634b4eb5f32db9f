package inbuild

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// runBaseline keeps what a build needs of other modules, for builds that need about the same:
//
//	baseline --key KEY --out FILE
//
// What is needed is in the environment, as the proxy for FTP: it is to be in no cache key.
func runBaseline(args []string, stdout io.Writer) error {
	flags := newFlags("baseline")
	flags.String("key", "", "what builds have in common that need about the same")
	out := flags.String("out", "", "file to make")
	if err := parseFlags(flags, args, "key", "out"); err != nil {
		return err
	}
	needs := os.Getenv("FTP_PROXY")
	if err := os.WriteFile(*out, []byte(needs), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "listed what is needed, in %d bytes\n", len(needs))
	return stampTree(filepath.Dir(*out))
}
