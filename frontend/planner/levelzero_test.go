package planner

import (
	"testing"

	"github.com/larder-build/larder/internal/commit"
	"github.com/stretchr/testify/require"
)

func TestLevelZeroFlags(t *testing.T) {
	const trimpath, buildvcs, ldflags = "-trimpath", "-buildvcs=false", "-ldflags=-s -w"
	for goflags, want := range map[string][]string{
		"":                               {trimpath, buildvcs, ldflags},
		"-tags=a":                        {trimpath, buildvcs, ldflags},
		"-ldflags=-X=main.v=1":           {trimpath, buildvcs},
		"'--ldflags=-s -X=main.v=1' -v":  {trimpath, buildvcs},
		"-trimpath=false":                {buildvcs, ldflags},
		"-buildvcs=false -buildvcs=auto": {trimpath, buildvcs, ldflags},
	} {
		got, err := levelZeroFlags(goflags, false)
		require.NoError(t, err, goflags)
		require.Equal(t, want, got, goflags)
	}
	got, err := levelZeroFlags("", true)
	require.NoError(t, err)
	require.Equal(t, []string{trimpath, "-buildvcs=true", ldflags}, got)
}

// A build without instructions stamps as go build does: what is known, unless it is told otherwise.
func TestLevelZeroCommit(t *testing.T) {
	known := func() (commit.Commit, bool, error) { return commit.Commit{Revision: "abc"}, true, nil }
	unknown := func() (commit.Commit, bool, error) { return commit.Commit{}, false, nil }
	for goflags, want := range map[string]struct{ known, unknown string }{
		"":                               {"abc", ""},
		"-buildvcs=auto -v":              {"abc", ""},
		"-buildvcs=false":                {"", ""},
		"-buildvcs -buildvcs=0":          {"", ""},
		"-buildvcs=false -buildvcs=auto": {"abc", ""},
		"-buildvcs":                      {"abc", "isn't known"},
		"-v --buildvcs=1":                {"abc", "isn't known"},
	} {
		req := Request{BuildArgs: map[string]string{"GOFLAGS": goflags}, Commit: known}
		c, err := req.levelZeroCommit(Wide{})
		require.NoError(t, err, goflags)
		require.Equal(t, want.known != "", c != nil, goflags)
		req.Commit = unknown
		c, err = req.levelZeroCommit(Wide{})
		require.Nil(t, c, goflags)
		if want.unknown == "" {
			require.NoError(t, err, goflags)
		} else {
			require.ErrorContains(t, err, want.unknown, goflags)
		}
	}
	c, err := Request{Commit: known}.levelZeroCommit(Wide{Outside: []Outside{{}}})
	require.NoError(t, err)
	require.True(t, c.Inner, "the tree lies in a folder of what is mounted")
}
