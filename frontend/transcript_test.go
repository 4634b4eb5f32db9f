package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A transcript is all that a builder and a user see of a build, as text that can be compared.
type transcript struct {
	Solves   []string // sorted: platforms are built at the same time
	Images   []string
	Metadata []string
	Warnings []string // in order: only the first platform warns
	Result   []string
	Error    []string

	reads map[string]bool
}

// transcribe runs a build and notes what came of it.
func transcribe(ctx context.Context, build gateway.BuildFunc, b *fakeBuilder) (*transcript, error) {
	res, failure := attempt(ctx, build, b)
	t := &transcript{
		Images: slices.Sorted(maps.Keys(b.asked.images)), Metadata: slices.Sorted(maps.Keys(b.asked.metadata)),
		Solves: slices.Sorted(slices.Values(b.asked.solves)), Warnings: b.asked.warnings, reads: b.asked.reads,
	}
	if failure != nil {
		// How far the other platforms came before one failed is up to the scheduler.
		t.Solves, t.Images, t.Metadata, t.reads = nil, nil, nil, nil
		return t, t.addError(failure)
	}
	return t, t.addResult(res)
}

// attempt takes a panic for an error: BuildKit's frontend has some that aren't Larder's to mend.
func attempt(ctx context.Context, build gateway.BuildFunc, b *fakeBuilder) (res *gateway.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return build(ctx, b)
}

func (t *transcript) addError(err error) error {
	t.Error = append(t.Error, err.Error(), "code "+grpcerrors.Code(err).String())
	for _, src := range errdefs.Sources(err) {
		text, err := messageText(src)
		if err != nil {
			return err
		}
		t.Error = append(t.Error, text)
	}
	return nil
}

func (t *transcript) addResult(res *gateway.Result) error {
	if res == nil {
		t.Result = []string{"no result"}
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(res.Metadata)) {
		t.Result = append(t.Result, "metadata "+key+": "+string(res.Metadata[key]))
	}
	t.addRef("ref", res.Ref)
	for _, key := range slices.Sorted(maps.Keys(res.Refs)) {
		t.addRef("ref "+key, res.Refs[key])
	}
	for _, key := range slices.Sorted(maps.Keys(res.Attestations)) {
		for _, a := range res.Attestations[key] {
			t.addRef("attestation "+key, a.Ref)
			t.Result = append(t.Result, fmt.Sprintf("attestation %s: %v %s %q %+v", key, a.Kind, a.Path, a.Metadata, a.InToto))
		}
	}
	return nil
}

func (t *transcript) addRef(name string, ref gateway.Reference) {
	if ref, ok := ref.(*fakeRef); ok {
		t.Result = append(t.Result, name+": "+ref.text)
	}
}

// requestText writes a request as text, of which two are equal if and only if the requests are, byte for byte.
func requestText(req gateway.SolveRequest) (string, error) {
	var b strings.Builder
	if err := writeDefinition(&b, "", req.Definition); err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(req.FrontendInputs)) {
		if err := writeDefinition(&b, "input "+name+" ", req.FrontendInputs[name]); err != nil {
			return "", err
		}
	}
	req.Definition, req.FrontendInputs = nil, nil
	rest, err := json.MarshalIndent(req, "", " ")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "request %s\n", rest)
	return b.String(), nil
}

func writeDefinition(b *strings.Builder, prefix string, def *pb.Definition) error {
	for _, dt := range def.GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return err
		}
		// The digest is of the bytes: the text behind it is only for people.
		if err := writeMessage(b, fmt.Sprintf("%sop %s", prefix, digest.FromBytes(dt)), &op); err != nil {
			return err
		}
	}
	for _, dgst := range slices.Sorted(maps.Keys(def.GetMetadata())) {
		if err := writeMessage(b, prefix+"metadata "+dgst, def.Metadata[dgst]); err != nil {
			return err
		}
	}
	return writeMessage(b, prefix+"source", def.GetSource())
}

func writeMessage(b *strings.Builder, title string, m proto.Message) error {
	text, err := messageText(m)
	fmt.Fprintf(b, "%s %s\n", title, text)
	return err
}

// messageText doesn't depend on the order of maps.
func messageText(m proto.Message) (string, error) {
	text, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(m)
	return string(text), err
}
