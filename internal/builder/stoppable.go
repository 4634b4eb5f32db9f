package builder

import (
	"context"
	"errors"
	"sync"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/contenthash"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/worker/base"
)

// stoppable is a worker whose state can be closed and opened again in one
// process. BuildKit's own worker can't do that, since it is made to run until
// the process ends: it collects garbage on a timer that nothing stops, and
// remembers checksums of the state's files in a variable of the process.
type stoppable struct {
	*base.Worker
	running context.Context // until stop
	cancel  context.CancelFunc
	pruning sync.Mutex
}

func newStoppable(w *base.Worker) *stoppable {
	s := &stoppable{Worker: w}
	s.running, s.cancel = context.WithCancel(context.Background())
	return s
}

// stop ends the garbage collection, which goes on next time, and makes the
// process forget what it knows of the state. It must be called after the last
// build, and before the state is closed.
func (s *stoppable) stop() error {
	s.cancel()
	s.pruning.Lock()
	defer s.pruning.Unlock()
	items, err := s.MetadataStore.All()
	for _, item := range items {
		contenthash.ClearCacheContext(named{id: item.ID()})
	}
	return err
}

// Prune is base.Worker's method, until stop is called.
func (s *stoppable) Prune(ctx context.Context, removed chan client.UsageInfo, rules ...client.PruneInfo) error {
	s.pruning.Lock()
	defer s.pruning.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)()
	if s.running.Err() != nil {
		return nil
	}
	err := s.Worker.Prune(ctx, removed, rules...)
	if s.running.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// named is a reference that has only an ID.
type named struct {
	cache.RefMetadata
	id string
}

func (n named) ID() string { return n.id }
