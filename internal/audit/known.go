package audit

import (
	"context"
	"io/fs"
	"runtime"
	"sync"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"
)

// A Fact is what a folder of modules tells of a module version. Zero values aren't known.
type Fact struct {
	Size     int64     // of its zip, in bytes
	Time     time.Time // of its release
	Licenses []string  // SPDX identifiers, sorted; none if its texts hold anything else
}

// Facts returns what a folder that is laid out as a module proxy tells of module versions. What isn't there, or can't be
// read, isn't known.
func Facts(ctx context.Context, modules fs.FS, list []module.Version) (map[module.Version]Fact, error) {
	known := make(map[module.Version]Fact, len(list))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, m := range list {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f := source{modules}.fact(m)
			mu.Lock()
			defer mu.Unlock()
			known[m] = f
			return nil
		})
	}
	return known, g.Wait()
}

func (s source) fact(m module.Version) (f Fact) {
	if t, err := s.time(m); err == nil {
		f.Time = t
	}
	if name, err := file(m, ".zip"); err == nil {
		if fi, err := fs.Stat(s.fsys, name); err == nil && fi.Mode().IsRegular() {
			f.Size = fi.Size()
		}
	}
	if ids, state, err := s.licenses(m); err == nil && state == licenseKnown {
		f.Licenses = ids
	}
	return f
}
