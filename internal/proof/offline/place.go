package offline

import (
	"bytes"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// place returns the first place in a file that an operation comes from. Some operations have no place; then it is the
// first place of the operations that use its result. It returns nil if there is none.
func (c *checker) place(dgst digest.Digest) *errdefs.Source {
	seen := map[digest.Digest]bool{}
	for level := []digest.Digest{dgst}; len(level) > 0; {
		var places []*errdefs.Source
		var next []digest.Digest
		for _, d := range level {
			places = append(places, c.places(d)...)
			for _, user := range c.usersOf(d) {
				if !seen[user] {
					seen[user] = true
					next = append(next, user)
				}
			}
		}
		if len(places) > 0 {
			return slices.MinFunc(places, func(a, b *errdefs.Source) int { return line(a) - line(b) })
		}
		level = next
	}
	return nil
}

// places returns the places in files that an operation itself comes from.
func (c *checker) places(dgst digest.Digest) []*errdefs.Source {
	src := c.def.GetSource()
	var places []*errdefs.Source
	for _, l := range src.GetLocations()[string(dgst)].GetLocations() {
		if i := int(l.GetSourceIndex()); i >= 0 && i < len(src.GetInfos()) && len(l.GetRanges()) > 0 {
			places = append(places, &errdefs.Source{Info: src.Infos[i], Ranges: l.Ranges})
		}
	}
	return places
}

// usersOf returns the operations that take the output of an operation as an input.
func (c *checker) usersOf(dgst digest.Digest) []digest.Digest {
	if c.users == nil {
		c.users = map[digest.Digest][]digest.Digest{}
		for _, data := range c.def.Def {
			var op pb.Op
			if op.UnmarshalVT(data) != nil {
				continue
			}
			for _, in := range op.Inputs {
				c.users[digest.Digest(in.Digest)] = append(c.users[digest.Digest(in.Digest)], digest.FromBytes(data))
			}
		}
	}
	return c.users[dgst]
}

func line(at *errdefs.Source) int {
	return int(at.GetRanges()[0].GetStart().GetLine())
}

// Line returns the file, the line number and the text of the line of a violation. If no place is known, the file is "".
func (v Violation) Line() (file string, number int, text string) {
	if v.At == nil {
		return "", 0, ""
	}
	number = line(v.At)
	lines := strings.Split(string(v.At.GetInfo().GetData()), "\n")
	if number >= 1 && number <= len(lines) {
		text = strings.TrimSpace(lines[number-1])
	}
	return v.At.GetInfo().GetFilename(), number, text
}

// networkFlag returns the flag with which a line of the current operation asks for a network, or "". The definition
// alone doesn't show it: if a build has no network by default, "RUN --network=default" has none either.
func (c *checker) networkFlag() string {
	for _, at := range c.places(c.dgst) {
		flags, ok := c.flags[at.Info]
		if !ok {
			flags = networkFlags(at.Info)
			c.flags[at.Info] = flags
		}
		if flag := flags[line(at)]; flag != "" {
			return flag
		}
	}
	return ""
}

// networkFlags returns the flags in a Dockerfile that ask for a network, by the first line of their instruction.
func networkFlags(file *pb.SourceInfo) map[int]string {
	flags := map[int]string{}
	ast, err := parser.Parse(bytes.NewReader(file.GetData()))
	if err != nil {
		return flags // it is no Dockerfile
	}
	for _, n := range ast.AST.Children {
		for _, flag := range n.Flags {
			if mode, ok := strings.CutPrefix(flag, "--network="); ok && mode != "none" {
				flags[n.StartLine] = flag
			}
		}
	}
	return flags
}
