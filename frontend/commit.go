package frontend

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/larder-build/larder/internal/commit"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/gitutil/gitobject"
)

// commit returns the facts about the commit of the build context. The client tells them or, for a git URL, the builder.
// The bool is false if nothing is known.
func (b *build) commit(ctx context.Context) (commit.Commit, bool, error) {
	facts := map[string]string{}
	for opt, value := range b.client.opts {
		if name, ok := strings.CutPrefix(opt, "vcs:"); ok {
			facts[name] = value
		}
	}
	if c, ok := commit.Parse(facts); ok {
		return c, true, nil
	}
	source, err := b.gitContext(ctx)
	if source == nil || err != nil {
		return commit.Commit{}, false, err
	}
	md, err := b.client.ResolveSourceMetadata(ctx, source, sourceresolver.Opt{GitOpt: &sourceresolver.ResolveGitOpt{ReturnObject: true}})
	if err != nil || md.Git == nil {
		return commit.Commit{}, false, err
	}
	facts[commit.FactRevision] = cmp.Or(md.Git.CommitChecksum, md.Git.Checksum)
	if tag, ok := strings.CutPrefix(md.Git.Ref, "refs/tags/"); ok {
		facts[commit.FactTags] = tag
	}
	_, ref, _ := strings.Cut(source.Identifier, "#")
	_, facts[commit.FactFolder], _ = strings.Cut(ref, ":")
	if obj, err := gitobject.Parse(md.Git.CommitObject); err == nil {
		if c, err := obj.ToCommit(); err == nil && c.Committer.When != nil {
			facts[commit.FactTime] = fmt.Sprint(c.Committer.When.Unix())
		}
	}
	c, ok := commit.Parse(facts)
	return c, ok, nil
}

// gitContext returns the source operation of a build context that is a git URL, or else nil.
func (b *build) gitContext(ctx context.Context) (*pb.SourceOp, error) {
	st, err := b.ui.MainContext(ctx)
	if err != nil {
		return nil, err
	}
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	for _, data := range def.Def {
		var op pb.Op
		if err := op.Unmarshal(data); err != nil {
			return nil, err
		}
		if source := op.GetSource(); source != nil && strings.HasPrefix(source.Identifier, "git://") {
			return source, nil
		}
	}
	return nil, nil
}
