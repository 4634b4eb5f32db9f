package dialect

import (
	"testing"

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
		got, err := levelZeroFlags(goflags)
		require.NoError(t, err, goflags)
		require.Equal(t, want, got, goflags)
	}
	for _, goflags := range []string{"-buildvcs", "-buildvcs=true", "-v --buildvcs=1"} {
		_, err := levelZeroFlags(goflags)
		require.ErrorContains(t, err, "GOFLAGS has -buildvcs, and a build without instructions stamps no commit", goflags)
	}
}
