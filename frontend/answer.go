package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/pb"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

const (
	resultJSON = "result.json"
	lintFailed = "lint violation found for rules: " // as BuildKit's linter has it
)

// warn sends the plan's warnings to the builder, as BuildKit's frontend does with its own.
func (b *build) warn(ctx context.Context, plan *planner.Plan) {
	if b.client.opts["requestid"] != "" {
		return // they are in the answer
	}
	for _, w := range plan.Warnings {
		msg := linter.LintFormatShort(w.Rule, w.Message, w.Location[0].Start.Line)
		b.src.Warn(ctx, msg, gateway.WarnOpts{Level: 1, Detail: [][]byte{[]byte(w.Description)}, URL: w.URL, SourceInfo: sourceInfo(b.src), Range: pbRanges(w.Location)})
	}
}

// lintError joins the plan's lint error with the error of BuildKit's linter. Either may be missing.
func lintError(err error, plan *planner.Plan) error {
	if plan.LintError == nil {
		return err
	}
	message := plan.LintError.Error()
	if err != nil {
		theirs, ok := strings.CutPrefix(err.Error(), lintFailed)
		if !ok {
			return err
		}
		message += ", " + theirs
	}
	rules := strings.Split(strings.TrimPrefix(message, lintFailed), ", ")
	slices.Sort(rules) // BuildKit's linter names them in any order
	return errors.New(lintFailed + strings.Join(slices.Compact(rules), ", "))
}

// answer puts the user's file and Larder's warnings into the answer of BuildKit's frontend.
func (b *build) answer(res *gateway.Result, plan *planner.Plan) error {
	if res == nil {
		return nil
	}
	data := res.Metadata[resultJSON]
	var (
		patched *gateway.Result
		err     error
	)
	switch b.client.opts["requestid"] {
	case "":
		return b.history(res)
	case lint.RequestLint:
		patched, err = b.answerLint(data, plan)
	case outline.RequestSubrequestsOutline:
		patched, err = b.answerOutline(data)
	case targets.RequestTargets:
		patched, err = b.answerTargets(data)
	}
	if err != nil {
		return fmt.Errorf("reading the answer of BuildKit's frontend: %w", err)
	}
	if patched != nil {
		maps.Copy(res.Metadata, patched.Metadata)
	}
	return nil
}

func (b *build) answerLint(data []byte, plan *planner.Plan) (*gateway.Result, error) {
	var results lint.LintResults
	if err := json.Unmarshal(data, &results); err != nil {
		return nil, err
	}
	index := len(results.Sources)
	for i, info := range results.Sources {
		if index = i; b.client.isRewritten(info) && b.client.shown != nil {
			results.Sources[i] = b.client.shown
		}
	}
	if index == len(results.Sources) {
		results.Sources = append(results.Sources, sourceInfo(b.src))
	}
	for _, w := range plan.Warnings {
		results.AddWarning(w.Rule, w.Description, w.URL, w.Message, index, w.Location)
	}
	var theirs error
	if results.Error != nil {
		theirs = errors.New(results.Error.Message)
	}
	if err := lintError(theirs, plan); err != nil {
		if results.Error == nil {
			results.Error = &lint.BuildError{}
		}
		results.Error.Message = err.Error()
	}
	return results.ToResult(nil)
}

func (b *build) answerOutline(data []byte) (*gateway.Result, error) {
	var o outline.Outline
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, err
	}
	b.showSources(o.Sources)
	return o.ToResult()
}

func (b *build) answerTargets(data []byte) (*gateway.Result, error) {
	var list targets.List
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	b.showSources(list.Sources)
	if b.client.shown == nil {
		return list.ToResult()
	}
	bases := dockerfile.Parse(b.src.Filename, b.src.Data).Stages
	for i := range list.Targets {
		if i < len(bases) {
			list.Targets[i].Base, list.Targets[i].Platform = bases[i].BaseName, bases[i].Platform
		}
	}
	return list.ToResult()
}

func (b *build) showSources(sources [][]byte) {
	for i, text := range sources {
		if b.client.shown != nil && string(text) == string(b.client.rewritten) {
			sources[i] = b.client.shown.Data
		}
	}
}

// history changes an image's history so that it shows GO lines as the user wrote them.
func (b *build) history(res *gateway.Result) error {
	for key, data := range res.Metadata {
		if key != exptypes.ExporterImageConfigKey && !strings.HasPrefix(key, exptypes.ExporterImageConfigKey+"/") || !strings.Contains(string(data), planner.StepCommand) {
			continue
		}
		var img dockerspec.DockerOCIImage
		if err := json.Unmarshal(data, &img); err != nil {
			return err
		}
		for i := range img.History {
			img.History[i].CreatedBy = planner.ShownHistory(img.History[i].CreatedBy)
		}
		patched, err := json.Marshal(img)
		if err != nil {
			return err
		}
		res.Metadata[key] = patched
	}
	return nil
}

// fail returns the error of a plan. If the request is to check the file, it returns an answer that holds the error.
func (b *build) fail(err error) (*gateway.Result, error) {
	if b.client.opts["requestid"] != lint.RequestLint {
		return nil, locate(err, sourceInfo(b.src))
	}
	results := &lint.LintResults{Sources: []*pb.SourceInfo{sourceInfo(b.src)}, Error: &lint.BuildError{Message: err.Error()}}
	var at *parser.LocationError
	if errors.As(err, &at) {
		results.Error.Location.Ranges = pbRanges(at.Locations[0])
	}
	return results.ToResult(nil)
}

func pbRanges(ranges []parser.Range) []*pb.Range {
	var out []*pb.Range
	for _, r := range ranges {
		out = append(out, &pb.Range{
			Start: &pb.Position{Line: int32(r.Start.Line), Character: int32(r.Start.Character)},
			End:   &pb.Position{Line: int32(r.End.Line), Character: int32(r.End.Character)},
		})
	}
	return out
}
