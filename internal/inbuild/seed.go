package inbuild

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/larder-build/larder/internal/cacheprog"
)

// runSeed copies compiled packages of another build into a compile cache:
//
//	seed --from DIR --upper DIR --out DIR
//
// Both are laid out as GOCACHE. What it leaves in the folder --out doesn't depend on them, so that they are in no key of
// the steps that come after it. A seed that can't be used is told and does no harm.
func runSeed(ctx context.Context, args []string, stdout io.Writer) error {
	flags := newFlags("seed")
	from := flags.String("from", "", "folder to copy")
	upper := flags.String("upper", "", "compile cache")
	out := flags.String("out", "", "folder to make")
	if err := parseFlags(flags, args, "from", "upper", "out"); err != nil {
		return err
	}
	copied, err := cacheprog.Dir(*upper).CopyAll(ctx, cacheprog.Dir(*from), time.Time{})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		fmt.Fprintf(stdout, "not all of the seed is used: %v\n", err)
	}
	fmt.Fprintf(stdout, "took %d compiled packages and results from the seed\n", copied)
	if err := os.Mkdir(filepath.Join(*out, "seeded"), 0o755); err != nil {
		return fmt.Errorf("making the output: %w", err)
	}
	return stampTree(*out)
}

// runExportCache copies compile caches into one folder, for the seed of another build:
//
//	export-cache --from DIR… --out DIR
func runExportCache(ctx context.Context, args []string, stdout io.Writer) error {
	var from stringList
	flags := newFlags("export-cache")
	flags.Var(&from, "from", "compile cache")
	out := flags.String("out", "", "folder to make")
	if err := parseFlags(flags, args, "from", "out"); err != nil {
		return err
	}
	total := 0
	for _, dir := range from {
		copied, err := cacheprog.Dir(*out).CopyAll(ctx, cacheprog.Dir(dir), epoch)
		if err != nil {
			return fmt.Errorf("exporting the compile cache: %w", err)
		}
		total += copied
	}
	fmt.Fprintf(stdout, "exported %d compiled packages and results\n", total)
	return stampTree(*out)
}
