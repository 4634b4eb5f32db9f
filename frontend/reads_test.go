package frontend

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// A counter is a builder that counts what is read, and keeps the vertices that warnings are of.
type counter struct {
	*fakeBuilder
	mu     sync.Mutex
	counts map[string]int
	warned []digest.Digest
	read   []digest.Digest // what was solved of the client's folders
}

func (c *counter) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	source := onlySource(req.Definition)
	res, err := c.fakeBuilder.Solve(ctx, req)
	if err != nil || source == "" {
		return res, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = append(c.read, digest.FromBytes(req.Definition.Def[0]))
	ref := &notedRef{res.Ref, source, c}
	res.SetRef(ref)
	return res, nil
}

func (c *counter) Warn(_ context.Context, dgst digest.Digest, _ string, _ gateway.WarnOpts) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warned = append(c.warned, dgst)
	return nil
}

type notedRef struct {
	gateway.Reference
	source string
	all    *counter
}

func (r *notedRef) ReadFile(ctx context.Context, req gateway.ReadRequest) ([]byte, error) {
	r.all.mu.Lock()
	r.all.counts[r.source+"/"+req.Filename]++
	r.all.mu.Unlock()
	return r.Reference.ReadFile(ctx, req)
}

// The builder is asked once for each file, however often Larder and BuildKit's frontend need it, and never for the file that
// Larder wrote. Of two ignore files the Dockerfile's own counts. Warnings are of a vertex that the builder was asked for.
func TestFilesAreReadOnce(t *testing.T) {
	files := fstest.MapFS{
		"go.mod":        {Data: []byte("module example.com/app\n\ngo 1.26\n")},
		"main.go":       {Data: []byte("package main\n\nfunc main() {}\n")},
		"Dockerfile":    {Data: []byte("FROM go:1.26.8 as build\nGO build -o /out/ .\nFROM scratch\nCOPY --from=build /out/ /\nCOPY . /all/\n")},
		"skipped.txt":   {Data: []byte("x")},
		".dockerignore": {Data: []byte("skipped.txt\n")},
	}
	for _, own := range []bool{false, true} {
		if own {
			files["Dockerfile.dockerignore"] = &fstest.MapFile{Data: []byte("other.txt\n")}
		}
		c := &counter{fakeBuilder: newFakeBuilder(files), counts: map[string]int{}}
		c.opts.Opts = map[string]string{inbuildOpt: "larder"}
		_, err := Build(t.Context(), c)
		require.NoError(t, err)
		for _, name := range []string{"local://dockerfile/Dockerfile", "local://dockerfile/Dockerfile.dockerignore", "local://context/.dockerignore", "local://context/main.go"} {
			require.Equal(t, 1, c.counts[name], name)
		}
		for name, count := range c.counts {
			require.Equal(t, 1, count, name)
		}
		require.Len(t, c.read, 3, "the Dockerfile's folder, the ignore file's, and the context")
		require.NotEmpty(t, c.warned, "FROM and as differ in case")
		for _, dgst := range c.warned {
			require.Contains(t, c.read, dgst)
		}
		require.Equal(t, own, strings.Contains(strings.Join(c.asked.solves, "\n"), "other.txt"))
		require.Equal(t, !own, strings.Contains(strings.Join(c.asked.solves, "\n"), "skipped.txt"))
	}
}

// What is solved as a result is the builder's, even if it is a folder that was read.
func TestResultsAreTheBuilders(t *testing.T) {
	def := &pb.Definition{Def: [][]byte{nil, nil}}
	op := &pb.Op{Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: "local://context", Attrs: map[string]string{pb.AttrLocalUniqueID: "1"}}}}
	var err error
	def.Def[0], err = op.Marshal()
	require.NoError(t, err)
	c := wrap(newFakeBuilder(fstest.MapFS{}))
	c.planned = true
	res, err := c.Solve(t.Context(), gateway.SolveRequest{Definition: def})
	require.NoError(t, err)
	require.IsType(t, &fakeRef{}, res.Ref)
}
