package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// A node is a step of a build.
type node struct {
	name    string
	network bool
	from    []*node
	to      []*node
	column  int
	row     float64 // the middle of the box, counted in boxes from the top
}

// A graph is the steps of a build, without those that every build of Larder has.
type graph []*node

// unseen matches the names of steps that aren't drawn: those that bring Larder's own binary and lists into the build,
// and one of two steps that copy the program into the image.
var unseen = regexp.MustCompile(`^$|^\[internal\] (load|copy)|\] list |\] COPY `)

// readGraph reads the output of "larder plan --llb json".
func readGraph(data []byte) (graph, error) {
	var llb struct {
		Def map[string]struct {
			Inputs []struct{ Digest string }
			Exec   *struct{ Network string }
			Source *struct{ Identifier string }
		}
		Metadata map[string]struct{ Description map[string]string }
	}
	if err := json.Unmarshal(data, &llb); err != nil {
		return nil, err
	}
	nodes := map[string]*node{}
	for id, op := range llb.Def {
		n := &node{name: llb.Metadata[id].Description["llb.customname"]}
		n.network = op.Exec != nil && op.Exec.Network == "" || op.Source != nil && strings.HasPrefix(op.Source.Identifier, "https:")
		nodes[id] = n
	}
	for id, op := range llb.Def {
		for _, in := range op.Inputs {
			if nodes[in.Digest] == nil {
				return nil, fmt.Errorf("%s has the input %s, which isn't there", id, in.Digest)
			}
			nodes[id].from = append(nodes[id].from, nodes[in.Digest])
		}
	}
	var g graph
	for _, n := range nodes {
		if !unseen.MatchString(n.name) {
			g = append(g, n)
		}
	}
	if len(g) == 0 {
		return nil, errors.New("it has no step")
	}
	slices.SortFunc(g, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	g.connect()
	g.place()
	return g, nil
}

// connect links each node to the nearest seen nodes before it. It leaves out a link if there is a longer way between
// the two.
func (g graph) connect() {
	direct := map[*node][]*node{}
	for _, n := range g {
		direct[n] = seen(n)
	}
	for _, n := range g {
		n.from = slices.DeleteFunc(slices.Clone(direct[n]), func(far *node) bool {
			return slices.ContainsFunc(direct[n], func(near *node) bool { return near != far && reaches(direct, near, far) })
		})
		for _, from := range n.from {
			from.to = append(from.to, n)
		}
	}
}

// seen returns the nearest seen nodes before n, sorted.
func seen(n *node) (list []*node) {
	for _, from := range n.from {
		if unseen.MatchString(from.name) {
			list = append(list, seen(from)...)
		} else {
			list = append(list, from)
		}
	}
	slices.SortFunc(list, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return slices.Compact(list)
}

func reaches(direct map[*node][]*node, from, to *node) bool {
	return slices.ContainsFunc(direct[from], func(n *node) bool { return n == to || reaches(direct, n, to) })
}

// place gives each node a column and a row. A node's column comes after the columns of all nodes that lead to it. If
// none does, it comes just before the first node that it leads to.
func (g graph) place() {
	var depth func(n *node) int
	depth = func(n *node) int {
		most := 0
		for _, from := range n.from {
			most = max(most, depth(from)+1)
		}
		return most
	}
	columns := map[int][]*node{}
	for _, n := range g {
		n.column = depth(n)
		if len(n.from) == 0 && len(n.to) > 0 {
			n.column = depth(n.to[0]) - 1
			for _, to := range n.to {
				n.column = min(n.column, depth(to)-1)
			}
		}
		columns[n.column] = append(columns[n.column], n)
	}
	most := 0
	for _, list := range columns {
		most = max(most, len(list))
	}
	for _, list := range columns {
		// What leads far, and so past the next column, is at the bottom.
		slices.SortStableFunc(list, func(a, b *node) int { return far(a) - far(b) })
		for i, n := range list {
			n.row = float64(most-len(list))/2 + float64(i) + 0.5
		}
	}
}

// far returns the distance in columns to the nearest node that n leads to.
func far(n *node) int {
	least := 1 << 10
	for _, to := range n.to {
		least = min(least, to.column-n.column)
	}
	return least
}

// readRan reads the output of "larder build --progress rawjson". It returns which steps ran, by name. Steps from the
// cache didn't run.
func readRan(log []byte) (map[string]bool, error) {
	type vertex struct {
		Name      string
		Cached    bool
		Completed string
	}
	ran := map[string]bool{}
	for decoder := json.NewDecoder(bytes.NewReader(log)); ; {
		var line struct{ Vertexes []vertex }
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			return ran, nil
		}
		if err != nil {
			return nil, err
		}
		for _, v := range line.Vertexes {
			ran[v.Name] = v.Completed != "" && !v.Cached
		}
	}
}

// byNetwork chooses a step's colour by whether it has a network.
func byNetwork(n *node) (paint, string) {
	switch {
	case n.network:
		return orange, "uses the network"
	case len(n.to) == 0:
		return green, "the image"
	}
	return blue, "has no network"
}

// byState chooses a step's colour by whether it ran. A source counts only if a step that ran uses it: otherwise it is
// just looked up.
func byState(ran map[string]bool) func(*node) (paint, string) {
	return func(n *node) (paint, string) {
		needed := len(n.from) > 0 || slices.ContainsFunc(n.to, func(to *node) bool { return ran[to.name] })
		if ran[n.name] && needed {
			return orange, "ran again"
		}
		return grey, "came from the cache"
	}
}

// label returns a step's name in a few short lines, without the text in brackets before it and without addresses.
func label(name string) []string {
	if strings.Contains(name, " COPY ") {
		return []string{"copy the program", "onto the static base"}
	}
	of, text, found := strings.Cut(name, "] ")
	if !found {
		text = name
	}
	if part := regexp.MustCompile(`^\[modules (\d/\d)$`).FindStringSubmatch(of); part != nil {
		text = "modules " + part[1] + ": " + text
	}
	text, _, _ = strings.Cut(text, " from http")
	var lines []string
	for word := range strings.FieldsSeq(text) {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= 24 {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
