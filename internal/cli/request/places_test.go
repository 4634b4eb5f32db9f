package request

import (
	"context"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"
)

// solved is a gateway client that solves nothing.
type solved struct{ gateway.Client }

func (solved) Solve(context.Context, gateway.SolveRequest) (*gateway.Result, error) { return nil, nil }

// A step is found by its command, in the file that it is written in, and what has no place, or a broken one, has none.
func TestPlaces(t *testing.T) {
	file := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte("FROM scratch\nRUN a\n"))
	at := file.Location([]*pb.Range{{Start: &pb.Position{Line: 2}, End: &pb.Position{Line: 2}}})
	st := llb.Scratch().Run(llb.Args([]string{"a", "b"}), at).Run(llb.Args([]string{"c"})).Run(llb.Args([]string{"d"}), at, llb.AddMount("/x", llb.HTTP("https://a.example/x"))).Root()
	def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
	require.NoError(t, err)
	p := &Places{Dir: "api"}
	c := p.Watch(solved{})
	_, err = c.Solve(t.Context(), gateway.SolveRequest{Definition: def.ToPB()})
	require.NoError(t, err)
	_, err = c.Solve(t.Context(), gateway.SolveRequest{})
	require.NoError(t, err)
	require.Equal(t, "api/Dockerfile:2", p.Of([]string{"a", "b"}))
	require.Equal(t, "api/Dockerfile:2", p.Of([]string{"d"}))
	require.Equal(t, "api/Dockerfile:2", p.OfSource("https://a.example/x"))
	require.Empty(t, p.OfSource("https://a.example/y"))
	require.Equal(t, "api/Dockerfile:2", p.Of([]string{"c"}), "by what is made of it")
	require.Empty(t, p.Of(nil))

	broken := def.ToPB()
	for dgst := range broken.Source.Locations {
		broken.Source.Locations[dgst] = &pb.Locations{Locations: []*pb.Location{{SourceIndex: 7, Ranges: []*pb.Range{{}}}}}
	}
	p = &Places{}
	_, err = p.Watch(solved{}).Solve(t.Context(), gateway.SolveRequest{Definition: broken})
	require.NoError(t, err)
	require.Empty(t, p.Of([]string{"d"}))

	var none *Places
	require.Equal(t, solved{}, none.Watch(solved{}))
}

// Files of the web are asked for at the address, once, and what the user's own policy says comes after.
func TestAnswerBy(t *testing.T) {
	r := &Request{}
	r.solve.SourcePolicy = &spb.Policy{Rules: []*spb.Rule{{Action: spb.PolicyAction_DENY, Selector: &spb.Selector{Identifier: "git://*", MatchType: spb.MatchType_WILDCARD}}}}
	r.AnswerBy("127.0.0.1:99")
	require.True(t, r.solve.ProxyNetwork)
	engine := sourcepolicy.NewEngine([]*spb.Policy{r.solve.SourcePolicy})
	for in, want := range map[string]string{
		"https://a.example/x?y=$1&z=%20": "http://127.0.0.1:99/https/a.example/x?y=$1&z=%20",
		"http://127.0.0.1:99/x":          "http://127.0.0.1:99/http/127.0.0.1:99/x",
		"local://context":                "local://context",
		"docker-image://a.example/x:1":   "docker-image://a.example/x:1",
	} {
		op := &pb.SourceOp{Identifier: in}
		_, err := engine.Evaluate(t.Context(), op)
		require.NoError(t, err)
		require.Equal(t, want, op.Identifier)
	}
	_, err := engine.Evaluate(t.Context(), &pb.SourceOp{Identifier: "git://a.example/x"})
	require.Error(t, err)
}
