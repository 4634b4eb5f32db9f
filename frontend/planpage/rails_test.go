package planpage

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// randomGraph returns a graph in which the image needs all steps, each of which needs some of those before it.
func randomGraph(r *rand.Rand, n int) *graph {
	all := make(steps, n)
	for i := range all {
		all[i] = &step{}
		for range r.IntN(4) {
			if i > 0 {
				all[i].need(all[r.IntN(i)])
			}
		}
	}
	g := &graph{Image: &step{}}
	for _, s := range all {
		if len(s.to) == 0 {
			g.Image.need(s)
		}
	}
	g.order()
	return g
}

// Steps come after what they need, and what is left out of their needs is needed by another of them.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		g := randomGraph(r, n+1)
		require.Len(t, g.Steps, n+2)
		above := map[*step]map[*step]bool{} // all that a step needs
		for _, s := range g.Steps {
			above[s] = map[*step]bool{}
			for _, need := range s.needs {
				require.Less(t, need.Number, s.Number)
				above[s][need] = true
				for far := range above[need] {
					above[s][far] = true
				}
			}
		}
		g.reduce()
		for _, s := range g.Steps {
			reached := map[*step]bool{}
			for _, need := range s.Needs {
				require.False(t, reached[need], "a need of another need is left out")
				reached[need] = true
				for far := range above[need] {
					reached[far] = true
				}
			}
			require.Equal(t, above[s], reached)
			for _, need := range s.Needs {
				require.False(t, slices.ContainsFunc(s.Needs, func(other *step) bool { return above[other][need] }))
			}
		}
	}
}

// A line leads from each step to each that needs it, and no two lines share a lane.
func TestRails(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 60 {
		g := randomGraph(r, n+1)
		g.reduce()
		g.layOut()
		if g.Lanes == 0 {
			continue
		}
		holder := map[int]*step{} // of each lane that goes on below
		for _, s := range g.Steps {
			var from steps
			for _, x := range s.Rail.Bends {
				from = append(from, holder[x])
			}
			require.ElementsMatch(t, s.Needs, from)
			for _, x := range s.Rail.Straight {
				require.NotNil(t, holder[x])
				require.Contains(t, s.Rail.Below, x, "a line that passes by goes on")
			}
			for x := range holder {
				require.True(t, slices.Contains(s.Rail.Straight, x) || slices.Contains(s.Rail.Bends, x), "no line ends in nothing")
			}
			next := map[int]*step{}
			for _, x := range s.Rail.Below {
				switch {
				case x == s.Rail.X && s.Rail.Starts:
					next[x] = s
				default:
					require.Contains(t, s.Rail.Straight, x)
					next[x] = holder[x]
				}
				require.Less(t, x, g.Width())
			}
			require.NotContains(t, s.Rail.Straight, s.Rail.X, "the mark is on no other's line")
			holder = next
		}
		require.Empty(t, holder)
	}
}
