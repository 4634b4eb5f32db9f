package gocache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// usedWithin is the greatest age of an entry that a go command has used since Age ran. The go command updates an
// entry's time if it is more than an hour old.
const (
	usedWithin = time.Hour
	aged       = 2 * usedWithin
)

// A Choice says which entries to copy, and with what time.
type Choice struct {
	Used    time.Time // those that were used since Age was called at this time; all if it is zero
	Without []Dir     // not what these have
	Stamp   time.Time // the time of what is copied, so that equal entries give equal layers; now if it is zero
}

// Age makes all entries look as if they were last used two hours ago or earlier. So Copy can tell which entries a go
// command uses from now on. Age doesn't make the go command remove an entry: it does that only after five days without
// use.
func (d Dir) Age(ctx context.Context, now time.Time) error {
	return eachFolder(ctx, func(folder string) error {
		actions, err := d.actions(folder)
		for action := range actions {
			if d.usedAfter(action, now.Add(-aged)) {
				err = errors.Join(err, os.Chtimes(d.file(action, "a"), now.Add(-aged), now.Add(-aged)))
			}
		}
		if err != nil {
			return fmt.Errorf("setting the times of compiled packages: %w", err)
		}
		return nil
	})
}

// Copy copies entries that d lacks from another folder, and returns how many. It leaves out damaged entries: a cache
// may lack anything. A file gets its name when it is complete, and an entry is written after its output. So other
// processes may use both folders at the same time, and a killed process leaves nothing that a go command would use.
func (d Dir) Copy(ctx context.Context, from Dir, choice Choice) (copied int, err error) {
	var count atomic.Int64
	err = eachFolder(ctx, func(folder string) error {
		actions, err := from.actions(folder)
		if err != nil || len(actions) == 0 {
			return err
		}
		have, err := d.actions(folder)
		if err != nil {
			return err
		}
		for action := range actions {
			if have[action] || !choice.takes(from, action) {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			switch ok, err := d.copyEntry(from, action, choice.Stamp); {
			case err != nil:
				return err
			case ok:
				count.Add(1)
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("copying compiled packages: %w", err)
	}
	return int(count.Load()), err
}

// takes reports whether the choice includes an entry.
func (c Choice) takes(from Dir, action string) bool {
	if !c.Used.IsZero() && !from.usedAfter(action, c.Used.Add(-usedWithin)) {
		return false
	}
	return !slices.ContainsFunc(c.Without, func(d Dir) bool {
		_, err := os.Lstat(d.file(action, "a"))
		return err == nil
	})
}

// copyEntry copies an entry and its output, if they are right.
func (d Dir) copyEntry(from Dir, action string, stamp time.Time) (copied bool, err error) {
	e, ok := from.read(action)
	if !ok {
		return false, nil
	}
	if !d.hasOutput(e) {
		source, err := os.Open(from.file(e.output, "d"))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil // it was removed meanwhile
		}
		if err != nil {
			return false, err
		}
		defer source.Close()
		if ok, err := d.write(e.output, "d", source, e.size, stamp); !ok || err != nil {
			return false, err
		}
	}
	at := stamp
	if at.IsZero() {
		at = time.Now()
	}
	return d.write(action, "a", strings.NewReader(e.line(at)), int64(entrySize), stamp)
}

// write writes a file of d. If the source doesn't have the given size, it writes nothing and ok is false.
func (d Dir) write(id, kind string, source io.Reader, size int64, stamp time.Time) (ok bool, err error) {
	name := d.file(id, kind)
	f, err := d.temp(id, kind)
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name()) // if it still has that name
	n, err := io.Copy(f, source)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return false, err
	}
	if n != size {
		return false, nil
	}
	if !stamp.IsZero() {
		if err := os.Chtimes(f.Name(), stamp, stamp); err != nil {
			return false, err
		}
	}
	return true, os.Rename(f.Name(), name)
}

// temp makes a temporary file beside the final one. Its name isn't that of an entry, but has the same ending: the go
// command removes such a file after five days, if its writer was killed.
func (d Dir) temp(id, kind string) (*os.File, error) {
	folder := filepath.Join(string(d), id[:2])
	f, err := os.CreateTemp(folder, "new-*-"+kind)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
		f, err = os.CreateTemp(folder, "new-*-"+kind)
	}
	return f, err
}

// eachFolder calls f for the names of a Dir's folders, several at a time, until a call fails.
func eachFolder(ctx context.Context, f func(folder string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, folder := range folders() {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return f(folder)
		})
	}
	return group.Wait()
}
