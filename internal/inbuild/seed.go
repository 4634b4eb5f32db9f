package inbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/larder-build/larder/internal/cacheprog"
)

// runSeed takes compiled packages of another build into a compile cache:
//
//	seed --from DIR --upper DIR --out DIR
//
// The first holds packs, as export-cache makes them, or is laid out as GOCACHE, as the second is. What it leaves in the
// folder --out doesn't depend on them, so that they are in no key of the steps that come after it. A seed that can't be
// used is told and does no harm.
func runSeed(ctx context.Context, args []string, stdout io.Writer) error {
	flags := newFlags("seed")
	from := flags.String("from", "", "seed")
	upper := flags.String("upper", "", "compile cache")
	out := flags.String("out", "", "folder to make")
	if err := parseFlags(flags, args, "from", "upper", "out"); err != nil {
		return err
	}
	cache := cacheprog.Dir(*upper)
	unpacked, err := cache.Unpack(ctx, *from)
	copied, cerr := cache.CopyAll(ctx, cacheprog.Dir(*from), time.Time{})
	err = errors.Join(err, cerr)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		fmt.Fprintf(stdout, "not all of the seed is used: %v\n", err)
	}
	fmt.Fprintf(stdout, "took %d compiled packages and results from the seed\n", unpacked+copied)
	if err := os.Mkdir(filepath.Join(*out, "seeded"), 0o755); err != nil {
		return fmt.Errorf("making the output: %w", err)
	}
	return stampTree(*out)
}

// runExportCache writes what compile caches hold as packs into one folder, for the seed of another build:
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
	var dirs []cacheprog.Dir
	for _, dir := range from {
		dirs = append(dirs, cacheprog.Dir(dir))
	}
	count, err := cacheprog.Pack(ctx, *out, dirs, epoch)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "exported %d compiled packages and results\n", count)
	return stampTree(*out)
}
