// Package harm proves that Larder does no harm: what docker/dockerfile builds of a Dockerfile, Larder builds of it, to
// the same image. There is nothing in it but the test.
package harm

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What there is to compare may grow, but not shrink unseen.
const (
	leastCases = 80
	leastDoors = 12 // cases that are also built through buildx or bake
)

// Each archive in testdata/corpus is built by docker/dockerfile and, with another first line, by Larder, on one BuildKit,
// from the same stand-ins of base images. Compared are the outcome, the files of the image, its config, and which RUN
// lines used the network: Larder's may use it less. README.md says what an archive may ask for.
func TestCorpus(t *testing.T) {
	names, err := filepath.Glob("testdata/corpus/*.txtar")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), leastCases)
	s := newSurroundings(t)
	doors := 0
	t.Run("cases", func(t *testing.T) {
		for _, name := range names {
			c := loadCase(t, name)
			if len(c.doors) > 0 {
				doors++
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s.compare(t, c)
			})
		}
	})
	require.GreaterOrEqual(t, doors, leastDoors)
	require.GreaterOrEqual(t, len(s.asked.byMark), len(names)/2, "most builds by docker/dockerfile use the network: were they seen?")
	t.Logf("%d Dockerfiles built both ways, %d of them also through buildx or bake", len(names), doors)
}

func (s *surroundings) compare(t *testing.T, c *testCase) {
	want := s.build(t, c, docker)
	if c.fails {
		require.Error(t, want.err, "docker/dockerfile has to fail, as the archive says")
	} else {
		require.NoError(t, want.err, "docker/dockerfile has to build it:\n%s", want.log)
	}
	got := s.build(t, c, larder)
	c.differ(t, want, got)
	c.checkRuns(t, want.execs, got.execs)
	for _, door := range c.doors {
		t.Run(door, func(t *testing.T) {
			through := s.through(t, c, door)
			through.execs = got.execs
			c.differ(t, want, through)
		})
	}
}

// differ reports how a build by Larder came out other than docker/dockerfile's did.
func (c *testCase) differ(t *testing.T, want, got *outcome) {
	if want.err != nil || got.err != nil {
		if want.err == nil {
			t.Errorf("docker/dockerfile builds it, and Larder doesn't: %v\n%s", got.err, got.log)
		} else if got.err == nil {
			t.Errorf("Larder builds it, and docker/dockerfile doesn't: %v", want.err)
		}
	} else {
		for _, d := range differences(want.image, got.image) {
			t.Errorf("docker/dockerfile's image, and Larder's: %s", d)
		}
	}
	asked := asking(want.asked, want.execs)
	for run := range asking(got.asked, got.execs) {
		if !asked[run] {
			t.Errorf("it uses the network, which it doesn't by docker/dockerfile: %s", run)
		}
	}
}
