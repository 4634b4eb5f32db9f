package request

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// Places maps the steps of a build to the lines of files where they are written. It finds a RUN by its command and an
// ADD by its URL: the builder reports only these while it runs.
type Places struct {
	Dir string // what the names of files are put behind; empty for nothing

	mu sync.Mutex
	at map[string]string // by the command's words, or by the URL
}

// Of returns the place of a step as FILE:LINE, or "" if it isn't known.
func (p *Places) Of(args []string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[strings.Join(args, "\x00")]
}

// OfSource returns the place of an ADD of a URL as FILE:LINE, or "" if it isn't known.
func (p *Places) OfSource(url string) string { return p.Of([]string{url}) }

// Watch returns a gateway client that records the steps of solved definitions. It returns c if p is nil.
func (p *Places) Watch(c gateway.Client) gateway.Client {
	if p == nil {
		return c
	}
	return Watch(c, p.check)
}

// check records the steps of a definition. It refuses ADD of a git repository: no step runs there that could report the error.
func (p *Places) check(def *pb.Definition) error {
	p.note(def)
	if at := p.gitOf(def); at != "" {
		return fmt.Errorf("%s: ADD of a git repository: what git asks its servers can be neither recorded nor replayed: "+
			"write ADD --unpack with the URL of an archive of the commit, or put a clone into the build context", at)
	}
	return nil
}

// Watch returns a gateway client that shows each definition on its way to the builder. One for which see fails isn't solved.
func Watch(c gateway.Client, see func(*pb.Definition) error) gateway.Client {
	return &watchedClient{c, see}
}

// A watchedClient is the gateway client that Watch returns.
type watchedClient struct {
	gateway.Client
	see func(*pb.Definition) error
}

// Solve implements gateway.Client.
func (c *watchedClient) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	if err := c.see(req.Definition); err != nil {
		return nil, err
	}
	return c.Client.Solve(ctx, req)
}

// CurrentFrontend returns the definition of the frontend's image, or nil if the builder doesn't provide it.
func (c *watchedClient) CurrentFrontend() (*llb.State, error) {
	current, ok := c.Client.(interface{ CurrentFrontend() (*llb.State, error) })
	if !ok {
		return nil, nil
	}
	return current.CurrentFrontend()
}

func (p *Places) note(def *pb.Definition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[string]string{}
	}
	users := map[string]string{} // of operations, the place of one that is made of it: a source has none of its own
	for _, data := range slices.Backward(def.GetDef()) {
		var op pb.Op
		if op.UnmarshalVT(data) != nil {
			continue
		}
		dgst := digest.FromBytes(data).String()
		place := cmp.Or(p.place(def, dgst), users[dgst])
		for _, in := range op.GetInputs() {
			users[in.GetDigest()] = place
		}
		words := op.GetSource().GetIdentifier()
		if exec := op.GetExec(); exec != nil {
			words = strings.Join(exec.GetMeta().GetArgs(), "\x00")
		}
		if words != "" && place != "" && p.at[words] == "" {
			p.at[words] = place
		}
	}
}

// gitOf returns the place of an ADD of a git repository, or "" if there is none. A build context that is a git repository
// doesn't count.
func (p *Places) gitOf(def *pb.Definition) string {
	for _, data := range def.GetDef() {
		var op pb.Op
		if op.UnmarshalVT(data) != nil || !strings.HasPrefix(op.GetSource().GetIdentifier(), "git://") {
			continue
		}
		name := def.GetMetadata()[digest.FromBytes(data).String()].GetDescription()["llb.customname"]
		if _, line, _ := strings.Cut(name, "] "); strings.HasPrefix(line, "ADD ") {
			return cmp.Or(p.OfSource(op.GetSource().GetIdentifier()), name)
		}
	}
	return ""
}

// place returns the place of an operation, or "" if the definition has no valid one.
func (p *Places) place(def *pb.Definition, dgst string) string {
	locations, infos := def.GetSource().GetLocations()[dgst].GetLocations(), def.GetSource().GetInfos()
	if len(locations) == 0 || len(locations[0].GetRanges()) == 0 {
		return ""
	}
	index := int(locations[0].GetSourceIndex())
	if index < 0 || index >= len(infos) {
		return ""
	}
	return fmt.Sprintf("%s:%d", path.Join(p.Dir, infos[index].GetFilename()), locations[0].GetRanges()[0].GetStart().GetLine())
}
