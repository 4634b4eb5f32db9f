package planpage

import "slices"

// Sizes of the rails beside the steps, in pixels.
const (
	laneWidth  = 14
	headHeight = 36 // of the part with the step's mark; below it lines go straight down
	markSize   = 10
	maxLanes   = 16
)

// A rail is the picture beside a step: lines that come from the steps above which it needs, and lines that pass by.
type rail struct {
	X        int   // of the step's mark
	Straight []int // lines from the top to the bottom of the head
	Bends    []int // lines from the top that end at the mark
	Below    []int // lines that go on below
	Starts   bool  // a line starts at the mark
}

// layOut gives each step a lane, as short a way as can be from what it needs. A lane is held until the last step that needs
// it. A graph that would take too many lanes gets no rails.
func (g *graph) layOut() {
	left := map[*step]int{} // how many steps below need it
	for _, s := range g.Steps {
		for _, need := range s.Needs {
			left[need]++
		}
	}
	var lanes steps // who holds each lane; nil for nobody
	x := func(lane int) int { return laneWidth/2 + laneWidth*lane }
	most := 0
	for _, s := range g.Steps {
		r := &s.Rail
		own := -1
		for lane, holder := range lanes {
			if holder == nil {
				continue
			}
			if !slices.Contains(s.Needs, holder) {
				r.Straight = append(r.Straight, x(lane))
				continue
			}
			r.Bends = append(r.Bends, x(lane))
			if left[holder]--; left[holder] > 0 {
				r.Straight = append(r.Straight, x(lane))
				continue
			}
			lanes[lane] = nil
			if own < 0 {
				own = lane
			}
		}
		if own < 0 {
			if own = slices.Index(lanes, nil); own < 0 {
				own, lanes = len(lanes), append(lanes, nil)
			}
		}
		r.X = x(own)
		if r.Starts = left[s] > 0; r.Starts {
			lanes[own] = s
		}
		for lane, holder := range lanes {
			if holder != nil {
				r.Below = append(r.Below, x(lane))
			}
		}
		most = max(most, len(lanes))
	}
	if most <= maxLanes {
		g.Lanes = most
	}
}

// Width returns the width of the rails.
func (g *graph) Width() int { return g.Lanes * laneWidth }

// HeadHeight returns the height of the part of a rail with the step's mark.
func (g *graph) HeadHeight() int { return headHeight }

// Foot returns where lines that go on below end: a little further down, so that no gap shows.
func (g *graph) Foot() int { return headHeight + 1 }

// Middle returns where the mark is, from the top.
func (g *graph) Middle() int { return headHeight / 2 }

// Left and Top return where the square of a step with a network begins.
func (r rail) Left() int  { return r.X - markSize/2 }
func (g *graph) Top() int { return headHeight/2 - markSize/2 }

// MarkSize returns the size of that square.
func (g *graph) MarkSize() int { return markSize }
