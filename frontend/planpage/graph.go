package planpage

import (
	"slices"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
)

// A step is something that the builder does.
type step struct {
	Number   int
	Name     string
	Line     int // in the Dockerfile; 0 for a step of Larder's own
	Platform string
	Network  bool
	Why      string // why it has a network, or none
	Reads    bool   // files of the build context
	Needs    steps
	Rail     rail
	Linked   bool // the page shows its line

	needs steps // all of Needs, and those that others of Needs need
	to    steps // what needs it
}

// steps are some of the steps of a graph.
type steps []*step

// A graph has the steps that an image is made by, each after those that it needs.
type graph struct {
	Steps   steps
	Image   *step
	Network int // how many may use a network
	Lanes   int // of the rails; 0 if there are none

	byLine  map[int]*step
	reached map[int]bool       // the stages that the target is made of
	made    map[string][]steps // what makes a named context of Larder's: chains of steps, one for each platform
	count   int
}

// newGraph makes the graph of a plan. The rewritten file, which BuildKit is given, tells what each instruction needs: it
// names all that Larder supplies.
func newGraph(p Page) *graph {
	g := &graph{byLine: map[int]*step{}, reached: map[int]bool{}, made: map[string][]steps{}}
	why := reasons(p.Plan)
	for _, s := range p.Plan.Steps {
		if s.Context != "" {
			g.supply(s, why)
		}
	}
	g.connectSupplies(p.Plan)
	b := &builder{Page: p, graph: g, given: dockerfile.Parse(p.Plan.Filename, []byte(p.Plan.Dockerfile)), networks: map[int]bool{}, contexts: map[string]bool{}}
	for _, s := range p.Plan.Steps {
		if s.Line > 0 {
			b.networks[s.Line] = s.Network
		}
	}
	for _, name := range p.Contexts {
		b.contexts[planner.ContextName(name)] = true
	}
	g.Image = b.image()
	g.order()
	if len(g.Steps) > 10*maxSteps {
		return g // what little of it is shown needs no picture
	}
	g.reduce()
	g.layOut()
	return g
}

// supply adds a step of Larder's own. Steps of one context and platform come one after the other.
func (g *graph) supply(s planner.Step, why map[string]string) {
	n := &step{Name: s.Name, Platform: s.Platform, Network: s.Network}
	chains := g.made[s.Context]
	i := slices.IndexFunc(chains, func(c steps) bool { return c[0].Platform == s.Platform })
	if i < 0 {
		chains, i = append(chains, nil), len(chains)
	}
	if len(chains[i]) > 0 {
		n.need(chains[i][len(chains[i])-1])
	}
	if len(chains[i]) == 0 || n.Network {
		n.Why = why[s.Context]
	}
	chains[i] = append(chains[i], n)
	g.made[s.Context] = chains
}

// reasons says of what Larder supplies why it takes a network, or when it runs again.
func reasons(p *planner.Plan) map[string]string {
	why := map[string]string{}
	for _, t := range p.Toolchains {
		switch {
		case t.Source.Network() && t.Pinned:
			why[planner.ToolchainRoot(t.Version)] = "It is fetched, and its sum is one that Larder knows"
		case t.Source.Network():
			why[planner.ToolchainRoot(t.Version)] = "It is fetched, and the checksum database is asked for its sum"
		case t.Pinned:
			why[planner.ToolchainRoot(t.Version)] = "Its sum is one that Larder knows"
		default:
			why[planner.ToolchainRoot(t.Version)] = "Larder doesn't know its sum: the checksum database is asked"
		}
	}
	for _, m := range p.Modules {
		why[m.Context] = "Each module is checked by go.sum"
	}
	for _, d := range p.Deps {
		why[d.Context] = "An edit that adds no import doesn't run it again"
	}
	return why
}

// need makes other steps needs of a step.
func (s *step) need(others ...*step) {
	for _, o := range others {
		if o != nil && o != s && !slices.Contains(s.needs, o) {
			s.needs = append(s.needs, o)
			o.to = append(o.to, s)
		}
	}
}

// ends returns the last steps of what makes a context: none if it isn't known.
func (g *graph) ends(context string) (list steps) {
	for _, chain := range g.made[context] {
		list = append(list, chain[len(chain)-1])
	}
	return list
}

// starts makes contexts needs of the first steps of another.
func (g *graph) starts(context string, needs ...string) {
	for _, chain := range g.made[context] {
		for _, need := range needs {
			chain[0].need(g.ends(need)...)
		}
	}
}

// connectSupplies says what Larder's own steps need of each other.
func (g *graph) connectSupplies(p *planner.Plan) {
	for _, m := range p.Modules {
		if chain := g.made[m.Context]; m.FIPS != nil && len(chain) > 0 {
			chain[0][len(chain[0])-1].need(g.ends(planner.ToolchainRoot(m.FIPS.Toolchain))...)
		}
	}
	for _, d := range p.Deps {
		g.starts(d.Context, planner.ToolchainRoot(d.Toolchain))
		if d.Modules != nil {
			g.starts(d.Context, d.Modules.Context)
		}
	}
	for _, c := range p.Compiled {
		g.starts(c.Context, c.Deps.Context)
	}
	if len(p.Toolchains) == 0 {
		return
	}
	first := planner.ToolchainRoot(p.Toolchains[0].Version)
	g.starts(planner.StaticContext, first) // it has the time zones
	for _, pkg := range p.Packages {
		context := planner.BinaryContext(pkg)
		g.starts(context, first)
		for _, m := range p.Modules {
			g.starts(context, m.Context)
		}
		if pkg.Deps != nil {
			g.starts(context, pkg.Deps.Context)
		}
		if pkg.Compiled != nil {
			g.starts(context, pkg.Compiled.Context)
		}
	}
}

// order lists the steps that the image needs, each after those that it needs, and numbers them.
func (g *graph) order() {
	seen := map[*step]bool{}
	var visit func(s *step)
	visit = func(s *step) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, need := range s.needs {
			visit(need)
		}
		g.Steps = append(g.Steps, s)
		s.Number = len(g.Steps)
		if s.Network {
			g.Network++
		}
	}
	visit(g.Image)
	for _, s := range g.Image.to { // what looks into the image
		visit(s)
	}
	for _, s := range g.Steps {
		s.Needs = slices.SortedFunc(slices.Values(s.needs), func(a, b *step) int { return a.Number - b.Number })
	}
}

// reduce leaves out of Needs what another of the needs needs.
func (g *graph) reduce() {
	words := len(g.Steps)/64 + 1
	above := make([][]uint64, len(g.Steps)+1) // the steps that each step needs, as bits
	for _, s := range g.Steps {
		bits := make([]uint64, words)
		slices.Reverse(s.Needs) // the last needs most
		s.Needs = slices.DeleteFunc(s.Needs, func(need *step) bool {
			known := bits[need.Number/64]&(1<<(need.Number%64)) != 0
			for i, word := range above[need.Number] {
				bits[i] |= word
			}
			bits[need.Number/64] |= 1 << (need.Number % 64)
			return known
		})
		slices.Reverse(s.Needs)
		above[s.Number] = bits
	}
}

// after returns the steps that run again if some steps do, in their order.
func (g *graph) after(first steps) (list steps) {
	again := map[*step]bool{}
	var visit func(s *step)
	visit = func(s *step) {
		if again[s] {
			return
		}
		again[s] = true
		for _, to := range s.to {
			visit(to)
		}
	}
	for _, s := range first {
		visit(s)
	}
	for _, s := range g.Steps {
		if again[s] {
			list = append(list, s)
		}
	}
	return list
}

// Shown returns the steps that the page lists, and More how many others there are.
func (g *graph) Shown() steps { return g.Steps[:min(len(g.Steps), maxSteps)] }
func (g *graph) More() int    { return len(g.Steps) - len(g.Shown()) }

// A placedStep is a step beside its rail.
type placedStep struct {
	Graph *graph
	Step  *step
}

// At returns a step for the template of rails.
func (g *graph) At(s *step) placedStep { return placedStep{g, s} }

// Shown returns the first of many steps, and More how many others there are.
func (list steps) Shown() steps { return list[:min(len(list), maxNeeds)] }
func (list steps) More() int    { return len(list) - len(list.Shown()) }

// Listed reports whether the page lists the step.
func (s *step) Listed() bool { return s.Number <= maxSteps }

// Short returns the step's name where there is little room.
func (s *step) Short() string { return shorten(s.Name, 60) }
