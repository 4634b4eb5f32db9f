package frontend

import (
	"context"
	"fmt"
	"regexp"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"
)

// A guessError is an error in something that Larder does of its own accord, for RUN lines that call go.
// docker/dockerfile builds without that.
type guessError struct{ err error }

func (e *guessError) Error() string { return e.err.Error() }
func (e *guessError) Unwrap() error { return e.err }

// blameGuess turns an error of planning into a guessError if the file asks for nothing of Larder's.
func (b *build) blameGuess(ctx context.Context, file dockerfile.File, err error) error {
	if asks, _ := planner.Asks(file, b.request(file)); asks || ctx.Err() != nil {
		return err
	}
	return &guessError{err}
}

// ownStep matches the error of a step of Larder's that gets modules. The error's text is all that can be relied on: the
// builder runs a step that two builds share only once, and names it as one of the builds does.
var ownStep = regexp.MustCompile(`process "/\.larder/\S+ in-build modules `)

// tryInjected builds the result before it is exported, so that errors of what Larder added to RUN lines are seen. An
// error of Larder's own steps becomes a guessError. An error of such a RUN line says how to leave that line alone.
func (b *build) tryInjected(ctx context.Context, res *gateway.Result, plan *planner.Plan) error {
	if res == nil || b.client.opts["requestid"] != "" || !plan.Injects() {
		return nil
	}
	eg, ctx := errgroup.WithContext(ctx)
	_ = res.EachRef(func(ref gateway.Reference) error {
		eg.Go(func() error { return ref.Evaluate(ctx) })
		return nil
	})
	err := eg.Wait()
	if err != nil && ownStep.MatchString(err.Error()) {
		return &guessError{err}
	}
	return hintInjected(err, plan)
}

// hintInjected adds a hint to the error of a RUN line that Larder added something to: how to leave that line alone.
func hintInjected(err error, plan *planner.Plan) error {
	for _, src := range errdefs.Sources(err) {
		for _, r := range plan.Rewrites {
			if r.Injected && inLines(src.Ranges, r.Line, r.EndLine) {
				return &hintedError{err, fmt.Sprintf("Larder gave this RUN %s: if that is what fails, leave it alone with the line \"# larder:inject=off\" above it", r.What)}
			}
		}
	}
	return err
}

// A hintedError is an error of the builder with one more line that says what to do.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() + "\n" + e.hint }
func (e *hintedError) Unwrap() error { return e.err }

// GRPCStatus keeps the hint on the way to the client. Without it, BuildKit uses the text of the builder's error for all
// errors that wrap it.
func (e *hintedError) GRPCStatus() *status.Status {
	return status.New(grpcerrors.Code(e.err), e.Error())
}

func inLines(ranges []*pb.Range, first, last int) bool {
	for _, r := range ranges {
		if line := int(r.GetStart().GetLine()); first <= line && line <= last {
			return true
		}
	}
	return false
}

// offline reports whether the build has LARDER_OFFLINE=1. What fails in such a build also fails without Larder.
func (b *build) offline() bool {
	_, guarded := b.client.Client.(*guard)
	return guarded
}

// syntax returns the frontend that the file names.
func (b *build) syntax() syntax { return syntaxOf(b.src.Data, b.ui.BuildArgs) }
