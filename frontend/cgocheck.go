package frontend

import (
	"context"
	"fmt"

	"github.com/larder-build/larder/frontend/planner"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sync/errgroup"
)

// checkLibraries builds an image into which programs made by cgo were copied, and fails if a program there lacks its
// loader or a library. Plans without such a COPY cost nothing.
func (b *build) checkLibraries(ctx context.Context, res *gateway.Result, plan *planner.Plan) error {
	if len(plan.CgoCopies) == 0 || b.client.opts["requestid"] != "" {
		return nil
	}
	images := map[string]gateway.Reference{}
	for platform, ref := range res.Refs {
		images[" "+platform] = ref
	}
	if len(images) == 0 {
		images[""] = res.Ref
	}
	group, ctx := errgroup.WithContext(ctx)
	for platform, ref := range images {
		if ref != nil {
			group.Go(func() error { return b.checkImage(ctx, ref, platform, plan.CgoCopies) })
		}
	}
	return group.Wait()
}

func (b *build) checkImage(ctx context.Context, ref gateway.Reference, platform string, copies []planner.CgoCopy) error {
	image, err := ref.ToState()
	if err != nil {
		return fmt.Errorf("looking into the image for the libraries of what cgo made: %w", err)
	}
	var paths []string
	var ranges []*pb.Range
	for _, c := range copies {
		paths = append(paths, c.Path)
		ranges = append(ranges, pbRanges(c.Location)...)
	}
	check := b.made.steps.CheckLibraries(image, paths, "[cgo"+platform+"] look for the libraries of what was copied", b.src.Location(ranges))
	def, err := check.Marshal(ctx)
	if err != nil {
		return err
	}
	_, err = b.client.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	return err
}
