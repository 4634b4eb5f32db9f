package frontend

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/larder-build/larder/internal/commit"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
)

// gitBuilder answers for one git repository.
type gitBuilder struct {
	*fakeBuilder
	git *sourceresolver.ResolveGitResponse
}

func (b *gitBuilder) ResolveSourceMetadata(_ context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	return &sourceresolver.MetaResponse{Op: op, Git: b.git}, nil
}

// What is known of a commit comes from the client, else from the builder.
func TestCommit(t *testing.T) {
	const revision, tag = "32561dd7fd18c47689d9fdc8f22f9bee60a02395", "a2561dd7fd18c47689d9fdc8f22f9bee60a02395"
	for _, tt := range []struct {
		name, context, revision string
		git                     *sourceresolver.ResolveGitResponse
		want                    commit.Commit
		ok                      bool
	}{
		{"the client's", "", revision + "-dirty", nil, commit.Commit{Revision: revision, Modified: true}, true},
		{"nobody's", "", "", nil, commit.Commit{}, false},
		{"a branch of a URL", "https://git.example/x.git#main", "", &sourceresolver.ResolveGitResponse{Checksum: revision, Ref: "refs/heads/main", CommitObject: []byte(fakeCommit)},
			commit.Commit{Revision: revision, Time: 1700000001}, true},
		{"a tag of a URL, in a folder", "https://git.example/x.git#v1.2.0:svc", "", &sourceresolver.ResolveGitResponse{Checksum: tag, CommitChecksum: revision, Ref: "refs/tags/v1.2.0"},
			commit.Commit{Revision: revision, Tags: []string{"v1.2.0"}, Inner: true}, true},
		{"a URL's, of an older builder", "https://git.example/x.git", "", nil, commit.Commit{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := &gitBuilder{newFakeBuilder(nil), tt.git}
			for opt, value := range map[string]string{"context": tt.context, "vcs:revision": tt.revision} {
				if value != "" {
					fake.opts.Opts[opt] = value
				}
			}
			w := wrap(fake)
			ui, err := dockerui.NewClient(w)
			require.NoError(t, err)
			c, ok, err := (&build{client: w, ui: ui}).commit(t.Context())
			require.NoError(t, err)
			require.Equal(t, tt.ok, ok)
			require.Empty(t, cmp.Diff(tt.want, c, cmpopts.EquateEmpty()))
		})
	}
}
