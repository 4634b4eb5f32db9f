package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/frontend/changes"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/cli/lastbuild"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
)

// A buildMemory knows what a build is made of, and what the last build of the same folder on the same builder was made of.
// Nil knows nothing.
type buildMemory struct {
	ctx          context.Context
	asked        bool   // there is --explain
	folder       string // the build context
	file, target string // what tells the build from others of that
	before       func() (*lastbuild.Record, error)
	store        lastbuild.Store
	key          string
	steps        changes.Steps
	looking      sync.WaitGroup
	mu           sync.Mutex // guards what follows
	now          *lastbuild.Record
	lookErr      error
	vertices     []client.Vertex // in the order in which they began
}

// buildMemory returns the memory of a build request. It is nil if the build context isn't a folder, or if nothing is built.
func (c *command) buildMemory(f *buildFlags, req *request.Request, fe *frontend.Frontend) (*buildMemory, error) {
	folder := req.Folders()["context"]
	if folder == "" || req.Call != nil {
		return nil, nil
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	r := &buildMemory{ctx: c.ctx, asked: f.explain, folder: folder, target: f.Target, file: f.File}
	if r.file != "" && r.file != "-" {
		if r.file, err = filepath.Abs(r.file); err != nil {
			return nil, err
		}
	}
	fe.Planned = r.planned
	return r, nil
}

// begin says which builder builds.
func (r *buildMemory) begin(b *builder.Builder) {
	if r == nil {
		return
	}
	r.store.Dir = filepath.Join(b.Address, "last-builds")
	if b.Kind != builder.Embedded {
		cache, err := os.UserCacheDir()
		if err != nil {
			r.store.Dir = "" // without a home there is nothing to remember in
		} else {
			r.store.Dir = filepath.Join(cache, "larder", "last-builds")
		}
	}
	r.key = lastbuild.Key(b.Kind, b.Address, r.folder, r.file, r.target)
	r.before = sync.OnceValues(func() (*lastbuild.Record, error) {
		if r.store.Dir == "" {
			return nil, nil
		}
		return r.store.Load(r.key)
	})
}

// planned looks at the files that a build reads, while it runs.
func (r *buildMemory) planned(p frontend.Planned) {
	now := &lastbuild.Record{}
	now.Build = changes.NewBuild(p.Filename, p.Dockerfile, r.target, p.Plan)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.lookErr = now, nil
	r.looking.Go(func() {
		before, _ := r.before() // whose error is told at the end
		err := now.Look(r.ctx, r.folder, p.Ignore, before)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.now == now {
			r.lookErr = err
		}
	})
}

// watch returns a gateway client whose definitions are remembered.
func (r *buildMemory) watch(gw gateway.Client) gateway.Client {
	if r == nil {
		return gw
	}
	return request.Watch(gw, func(def *pb.Definition) error {
		r.steps.Add(def)
		return nil
	})
}

// saw notes the steps of one status of the build.
func (r *buildMemory) saw(s *client.SolveStatus) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range s.Vertexes {
		i := slices.IndexFunc(r.vertices, func(have client.Vertex) bool { return have.Digest == v.Digest })
		switch {
		case v.Started == nil:
		case i < 0:
			r.vertices = append(r.vertices, *v)
		default: // one that was cached once has not run
			cached := v.Cached || r.vertices[i].Cached
			r.vertices[i] = *v
			r.vertices[i].Cached = cached
		}
	}
}

// ran returns the steps that weren't cached.
func (r *buildMemory) ran() (list []changes.RanStep) {
	for _, v := range r.vertices {
		if v.Completed != nil && v.Error == "" && !v.Cached {
			list = append(list, changes.RanStep{Digest: v.Digest, Name: v.Name})
		}
	}
	return list
}

// An explanation says what ran in a build, and why.
type explanation struct {
	Since *time.Time       `json:"since,omitempty"` // of the last build; nil if it isn't remembered
	Notes []string         `json:"notes,omitempty"` // what isn't known
	Steps []changes.Change `json:"steps"`
}

// forgotten is said where there is no record.
const forgotten = "This builder remembers no build of this folder, file and target."

// explain returns what changed since the last build. The build has succeeded, and is remembered from now on. That it can't be
// is no error of the build.
func (r *buildMemory) explain() *explanation {
	if r == nil {
		return nil
	}
	r.looking.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &explanation{Steps: []changes.Change{}}
	if r.now == nil || r.lookErr != nil || r.store.Dir == "" {
		return e.note("Larder doesn't know what this build is made of", r.lookErr)
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	r.now.Memory = changes.Remember(larderVersion(), r.now.Build, &r.steps, salt)
	switch before, err := r.before(); {
	case err != nil:
		e.note("What is remembered of the last build can't be read, and is forgotten", err)
	case before == nil:
		e.Notes = append(e.Notes, forgotten)
	case r.asked:
		e.compare(r, before)
	}
	if err := r.store.Save(r.key, r.now); err != nil {
		e.note("This build can't be remembered", err)
	}
	return e
}

func (e *explanation) note(text string, err error) *explanation {
	if err != nil {
		text += ": " + err.Error()
	}
	e.Notes = append(e.Notes, text+".")
	return e
}

func (e *explanation) compare(r *buildMemory, before *lastbuild.Record) {
	e.Since = &before.Time
	files := map[string]string{}
	if before.More || r.now.More {
		e.note("The steps read more files than Larder remembers: it knows of none which of them changed", nil)
	} else {
		files = r.now.Differences(before, r.folder)
	}
	e.Steps = changes.Explain(before.Memory, r.now.Memory, &r.steps, files, r.ran())
}

// write prints an explanation for people.
func (e *explanation) write(w io.Writer) {
	for _, note := range e.Notes {
		fmt.Fprintf(w, "\n%s\n", printable(note))
	}
	if e.Since == nil {
		return
	}
	when := e.Since.Local().Format(time.DateTime)
	if len(e.Steps) == 0 {
		fmt.Fprintf(w, "\nNothing ran again since the build of %s.\n", when)
		return
	}
	fmt.Fprintf(w, "\nThese ran again since the build of %s:\n", when)
	writeSteps(w, e.Steps)
}

// writeSteps prints steps and reasons.
func writeSteps(w io.Writer, list []changes.Change) {
	for _, change := range list {
		at := "        "
		if change.Line > 0 {
			at = fmt.Sprintf("line %-3d", change.Line)
		}
		fmt.Fprintf(w, "%s  %s\n", at, printable(change.Step))
		for _, why := range change.Why {
			fmt.Fprintf(w, "            %s\n", printable(why))
		}
	}
}

// printable quotes a text that would do more on a terminal than be read.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
