package frontend

import (
	"context"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
)

// wide returns the build context. If a plan has modules in folders outside of it, the state has these folders, too.
func (b *build) wide(ctx context.Context, plan *planner.Plan, steps larder.Builder, source llb.State) (llb.State, error) {
	if len(plan.Wide.Outside) == 0 {
		return source, nil
	}
	parts := []larder.Part{{Dir: plan.Wide.Base, Tree: source}}
	for _, o := range plan.Wide.Outside {
		st, err := b.outside(ctx, o.Context)
		if err != nil {
			return source, err
		}
		parts = append(parts, larder.Part{Dir: o.Dir, Tree: st})
	}
	return steps.Wide(parts), nil
}

// outside returns a named context that stands for a module, without .git.
func (b *build) outside(ctx context.Context, name string) (llb.State, error) {
	return b.named(ctx, name, llb.ExcludePatterns([]string{".git"}))
}

// hidden returns a function that reports whether .dockerignore leaves a file out of the build context.
func (b *build) hidden(ctx context.Context) func(string) bool {
	return func(file string) bool {
		patterns, err := b.ui.DockerIgnorePatterns(ctx)
		if err != nil {
			return false
		}
		hidden, err := ignoredBy(patterns)
		return err == nil && hidden(file)
	}
}

// A sender returns the files of the build context that match patterns, as a state that comes straight from the client.
// The client then sends only what has changed since the last build; a copy out of the whole context would be made
// again. The key must differ for different parts. A sender is nil if the context isn't a folder of the client's, or if
// other folders are added to it.
type sender func(key string, patterns []string, name string) llb.State

func (b *build) sender(ctx context.Context, plan *planner.Plan) sender {
	whole, err := b.ui.MainContext(ctx)
	if err != nil || len(plan.Wide.Outside) > 0 {
		return nil
	}
	def, err := whole.Marshal(ctx)
	if err != nil {
		return nil
	}
	if _, source := localSource(def, b.client.BuildOpts().SessionID); source == nil {
		return nil
	}
	return func(key string, patterns []string, name string) llb.State {
		part, err := b.ui.MainContext(ctx, llb.IncludePatterns(patterns), llb.SharedKeyHint(key), llb.WithCustomName("[internal] "+name))
		if err != nil {
			return *whole // which has the part
		}
		return *part
	}
}
