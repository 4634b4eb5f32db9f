package cacheprog

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// CopyAll copies the entries of another folder that d lacks, and returns how many it copied. An entry that isn't right is
// left out: a cache may lack anything. Where stamp isn't zero, it is the time in the entries and of the files. A disk that
// is full, and the end of ctx, end it with an error; what was copied by then is whole.
func (d Dir) CopyAll(ctx context.Context, from Dir, stamp time.Time) (copied int, err error) {
	actions, err := from.actions("[0-9a-f]")
	if err != nil {
		return 0, err
	}
	var count atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, action := range actions {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, ok := d.Get(action, false); ok {
				return nil
			}
			switch err := d.Copy(from, action, stamp); {
			case errors.Is(err, syscall.ENOSPC):
				return err
			case err == nil:
				count.Add(1)
			}
			return nil
		})
	}
	err = group.Wait()
	return int(count.Load()), err
}
