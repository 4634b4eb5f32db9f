package changes

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// Steps are the operations of a build, as its definitions have them. The zero value has none. Several goroutines may add to it.
type Steps struct {
	mu  sync.Mutex // guards all
	all map[digest.Digest]*operation
}

// An operation is a vertex of a definition.
type operation struct {
	*pb.Op
	name     string
	file     string // where it is written; "" for what Larder adds
	line     int
	uncached bool // the request says so
}

// Add adds the operations of a definition.
func (s *Steps) Add(def *pb.Definition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[digest.Digest]*operation{}
	}
	for _, data := range def.GetDef() {
		id := digest.FromBytes(data)
		o := &operation{Op: new(pb.Op)}
		if o.UnmarshalVT(data) != nil {
			continue
		}
		md := def.GetMetadata()[id.String()]
		o.name, o.uncached = md.GetDescription()["llb.customname"], md.GetIgnoreCache()
		locations, infos := def.GetSource().GetLocations()[id.String()].GetLocations(), def.GetSource().GetInfos()
		if len(locations) > 0 && len(locations[0].GetRanges()) > 0 && int(locations[0].GetSourceIndex()) < len(infos) && locations[0].GetSourceIndex() >= 0 {
			o.file, o.line = infos[locations[0].GetSourceIndex()].GetFilename(), int(locations[0].GetRanges()[0].GetStart().GetLine())
		}
		s.all[id] = o
	}
}

// find returns an operation by its digest. Some builders change that: then it is found by a name that no other one has.
func (s *Steps) find(r RanStep) *operation {
	if o := s.all[r.Digest]; o != nil {
		return o
	}
	var found *operation
	for _, o := range s.all {
		if o.name == r.Name && o.name != "" {
			if found != nil {
				return nil
			}
			found = o
		}
	}
	return found
}

// images returns the digests of the images that the build takes, by their references.
func (s *Steps) images() map[string][]string {
	images := map[string][]string{}
	for _, o := range s.all {
		if ref, dgst := o.image(); ref != "" && !slices.Contains(images[ref], dgst) {
			images[ref] = append(images[ref], dgst)
			slices.Sort(images[ref])
		}
	}
	return images
}

// image returns the reference and the digest of an operation that takes an image.
func (o *operation) image() (ref, dgst string) {
	name, ok := strings.CutPrefix(o.GetSource().GetIdentifier(), "docker-image://")
	if !ok {
		return "", ""
	}
	ref, dgst, _ = strings.Cut(name, "@")
	return strings.TrimPrefix(strings.TrimPrefix(ref, "docker.io/"), "library/"), dgst
}

// kind returns the kind of step of Larder's own that an operation is, or "". A GO line's has none.
func (o *operation) kind() string {
	kind, _ := step.Kind(o.GetExec().GetMeta().GetArgs())
	return kind
}

// larders reports whether Larder's binary runs the step.
func (o *operation) larders() bool {
	args := o.GetExec().GetMeta().GetArgs()
	return o.kind() != "" || len(args) > 0 && args[0] == step.Go
}

// fileAt returns the text of a file that a step is given by the definition itself, or nil.
func (s *Steps) fileAt(o *operation, name string) []byte {
	for _, m := range o.GetExec().GetMounts() {
		if m.GetDest() != path.Dir(name) || m.GetInput() < 0 || int(m.GetInput()) >= len(o.Inputs) {
			continue
		}
		in := s.all[digest.Digest(o.Inputs[m.GetInput()].GetDigest())]
		if in == nil {
			continue
		}
		for _, a := range in.GetFile().GetActions() {
			if f := a.GetMkfile(); f != nil && f.GetPath() == "/"+path.Base(name) {
				return f.GetData()
			}
		}
	}
	return nil
}

// Facts are what is remembered of one step. What may be a secret is there as a keyed hash.
type Facts struct {
	Variables map[string]string `json:"variables,omitempty"` // hashes of the values of its environment
	Rest      string            `json:"rest,omitempty"`      // hash of its command, user, folder and options
	Imports   []string          `json:"imports,omitempty"`   // packages that it compiles ahead
	Flags     []string          `json:"flags,omitempty"`     // by which it does so
}

func (s *Steps) facts(o *operation, salt []byte) Facts {
	f := Facts{Variables: map[string]string{}}
	meta := o.GetExec().GetMeta()
	if own, err := step.Read(meta.GetArgs()); err == nil {
		if deps, ok := own.(*step.Deps); ok {
			f.Imports, f.Flags = strings.Fields(string(s.fileAt(o, deps.Imports))), deps.Args
		}
	}
	for _, kv := range meta.GetEnv() {
		name, value, _ := strings.Cut(kv, "=")
		f.Variables[name] = keyed(salt, value)
	}
	var hosts []string
	for _, h := range meta.GetExtraHosts() {
		hosts = append(hosts, h.GetHost(), h.GetIP())
	}
	actions, _ := o.GetFile().MarshalVT() // of a COPY, what its variables stand for; it was read from as much
	rest := []string{
		meta.GetCwd(), meta.GetUser(), meta.GetHostname(), o.GetExec().GetNetwork().String(), o.GetExec().GetSecurity().String(),
		strings.Join(meta.GetArgs(), "\x00"), strings.Join(hosts, "\x00"), string(actions),
	}
	f.Rest = keyed(salt, strings.Join(rest, "\x00\x00"))
	return f
}

// keyed returns a hash of a value that tells nothing without the salt.
func keyed(salt []byte, value string) string {
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(value))
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// key returns what a step is remembered by, or "" if it isn't. lines are those of the file with that name.
func (o *operation) key(filename string) string {
	switch {
	case o.kind() != "":
		return "step " + o.kind()
	case o.line > 0 && o.file == filename && (o.GetExec() != nil || o.GetFile() != nil):
		return lineKey(o.line)
	}
	return ""
}

func lineKey(line int) string { return fmt.Sprintf("line %d", line) }

// A Memory is what is remembered of a build, to say of the next one why its steps ran.
type Memory struct {
	Larder string              `json:"larder"` // its version
	Build  Build               `json:"build"`
	Images map[string][]string `json:"images,omitempty"` // digests, by references
	Steps  map[string][]Facts  `json:"steps,omitempty"`  // by lines, and by kinds of Larder's own steps
	Salt   []byte              `json:"salt"`             // of hashes
}

// Remember returns what to remember of a build. The salt is random.
func Remember(larder string, b Build, s *Steps, salt []byte) Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := Memory{Larder: larder, Build: b, Images: s.images(), Steps: map[string][]Facts{}, Salt: salt}
	for _, id := range slices.Sorted(maps.Keys(s.all)) {
		o := s.all[id]
		key := o.key(b.Filename)
		if key == "" {
			continue
		}
		f := s.facts(o, salt)
		if !slices.ContainsFunc(m.Steps[key], func(g Facts) bool { return g.equal(f) }) {
			m.Steps[key] = append(m.Steps[key], f)
		}
	}
	return m
}

func (f Facts) equal(g Facts) bool {
	return f.Rest == g.Rest && maps.Equal(f.Variables, g.Variables) && slices.Equal(f.Imports, g.Imports) && slices.Equal(f.Flags, g.Flags)
}

// closest returns those of several facts that differ least from f, or nil if there are none.
func (f Facts) closest(list []Facts) *Facts {
	if len(list) == 0 {
		return nil
	}
	best := slices.MinFunc(list, func(a, b Facts) int { return cmp.Compare(f.distance(a), f.distance(b)) })
	return &best
}

func (f Facts) distance(g Facts) (n int) {
	if f.Rest != g.Rest {
		n++
	}
	n += len(without(f.Imports, g.Imports)) + len(without(g.Imports, f.Imports)) + len(without(f.Flags, g.Flags)) + len(without(g.Flags, f.Flags))
	for name, value := range f.Variables {
		if g.Variables[name] != value {
			n++
		}
	}
	return n
}

// without returns what of a list isn't in another one.
func without(list, other []string) []string {
	in := map[string]bool{}
	for _, s := range other {
		in[s] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return in[s] })
}
