package planpage

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/changes"
	"github.com/larder-build/larder/frontend/planner"
)

// edits says what runs again after an edit of each folder of the build context.
type edits struct {
	Rows    []edit
	Files   int // of the build context
	Read    int // of them, by any step
	Cut     bool
	Modules steps // what runs again if go.sum names another module
}

// An edit is a folder, and the steps that run again if a file of it that is read is edited.
type edit struct {
	Folder string
	Below  bool // it stands for all folders in it, too
	Files  int
	Read   int
	Names  []string // of the files that are read, if only some are; not all of many
	More   int      // how many more are read
	First  steps    // what reads them
	Again  steps    // what runs again
}

// Some reports whether only some of the files are read.
func (e edit) Some() bool { return e.Read > 0 && e.Read < e.Files }

// newEdits groups the files of the build context by what reads them.
func newEdits(p Page, g *graph) edits {
	e := edits{Files: len(p.Files), Cut: p.Cut}
	readers, tree := readFiles(p, g)
	for _, r := range readers.of {
		if r != "" {
			e.Read++
		}
	}
	for depth := 64; depth >= 0 && (e.Rows == nil || len(e.Rows) > maxFolders); depth /= 2 {
		e.Rows = e.Rows[:0]
		tree.rows(readers, depth, func(f *folder, files []int, below bool) {
			e.Rows = append(e.Rows, readers.edit(p, g, f, files, below))
		})
		if depth == 0 {
			break
		}
	}
	var first steps
	for _, m := range p.Plan.Modules {
		for _, chain := range g.made[m.Context] {
			if chain[0].Number > 0 {
				first = append(first, chain[0])
			}
		}
	}
	if len(first) > 0 {
		e.Modules = g.after(first)
	}
	return e
}

// readers are the steps that read files.
type readers struct {
	steps []steps  // of each reading
	of    []string // of each file: the numbers of its readings, as bits
}

// readFiles finds what reads each file, and counts for each step how many it reads.
func readFiles(p Page, g *graph) (*readers, *folder) {
	index := make(map[string]int, len(p.Files))
	tree := newFolder("")
	for i, name := range p.Files {
		index[name] = i
		tree.add(name, i)
	}
	bits := make([][]byte, len(p.Files))
	r := &readers{of: make([]string, len(p.Files))}
	for reading := range changes.Readings(changes.Side{File: p.File, Plan: p.Plan, Target: p.Target}, p.Files) {
		steps := g.reading(p.Plan, reading.Line)
		if len(steps) == 0 {
			continue
		}
		for _, s := range steps {
			s.Reads = true
		}
		n := len(r.steps)
		r.steps = append(r.steps, steps)
		for _, name := range reading.Files {
			i := index[name]
			for len(bits[i]) <= n/8 {
				bits[i] = append(bits[i], 0)
			}
			bits[i][n/8] |= 1 << (n % 8)
		}
	}
	for i, b := range bits {
		r.of[i] = string(b)
	}
	return r, tree
}

// reading returns the steps of the image that read what a line reads: the line's, and what compiles for it beforehand.
func (g *graph) reading(p *planner.Plan, line int) (list steps) {
	add := func(steps ...*step) {
		for _, s := range steps {
			if s != nil && s.Number > 0 {
				list = append(list, s)
			}
		}
	}
	if line > 0 {
		s := g.byLine[line]
		if s == nil {
			return nil
		}
		for _, c := range p.Compiled {
			for _, end := range g.ends(c.Context) {
				if slices.Contains(s.needs, end) {
					add(end)
				}
			}
		}
		add(s)
		return list
	}
	for _, pkg := range p.Packages {
		if pkg.Compiled != nil {
			add(g.ends(pkg.Compiled.Context)...)
		}
		add(g.ends(planner.BinaryContext(pkg))...)
	}
	return list
}

// stepsOf returns the steps that read a file.
func (r *readers) stepsOf(file int) (list steps) {
	for i, steps := range r.steps {
		if bits := r.of[file]; i/8 < len(bits) && bits[i/8]&(1<<(i%8)) != 0 {
			list = append(list, steps...)
		}
	}
	return list
}

// edit makes the row of some files of a folder.
func (r *readers) edit(p Page, g *graph, f *folder, files []int, below bool) edit {
	e := edit{Folder: shorten(f.name, 2*maxName), Below: below, Files: len(files)}
	first, keys := map[*step]bool{}, map[string]bool{}
	for _, i := range files {
		key := r.of[i]
		if key == "" {
			continue
		}
		if e.Read++; len(e.Names) < maxNamed {
			e.Names = append(e.Names, shorten(strings.TrimPrefix(p.Files[i], f.name), maxName))
		}
		if keys[key] {
			continue
		}
		keys[key] = true
		for _, s := range r.stepsOf(i) {
			first[s] = true
		}
	}
	if e.More = e.Read - len(e.Names); !e.Some() {
		e.Names, e.More = nil, 0
	}
	e.First = slices.SortedFunc(maps.Keys(first), func(a, b *step) int { return a.Number - b.Number })
	e.Again = g.after(e.First)
	return e
}

// A folder is a folder of the build context.
type folder struct {
	name  string // with a slash behind it; "" for the root
	files []int
	below map[string]*folder
}

func newFolder(name string) *folder { return &folder{name: name, below: map[string]*folder{}} }

func (f *folder) add(name string, file int) {
	dir := path.Dir(name)
	if dir == "." {
		f.files = append(f.files, file)
		return
	}
	at := f
	for part := range strings.SplitSeq(dir, "/") {
		next := at.below[part]
		if next == nil {
			next = newFolder(at.name + part + "/")
			at.below[part] = next
		}
		at = next
	}
	at.files = append(at.files, file)
}

// all returns the files of a folder and of those below it.
func (f *folder) all() []int {
	list := slices.Clone(f.files)
	for _, name := range slices.Sorted(maps.Keys(f.below)) {
		list = append(list, f.below[name].all()...)
	}
	return list
}

// rows calls a function for each folder whose files aren't all read by the same steps as those of the folder above it, and
// for the files that are in such a folder itself. At the given depth a folder stands for all below it.
func (f *folder) rows(r *readers, depth int, row func(f *folder, files []int, below bool)) {
	all := f.all()
	if len(all) == 0 {
		return
	}
	same := !slices.ContainsFunc(all, func(i int) bool { return r.of[i] != r.of[all[0]] })
	if depth == 0 || same || len(f.below) == 0 {
		row(f, all, len(f.below) > 0)
		return
	}
	if len(f.files) > 0 {
		row(f, f.files, false)
	}
	for _, name := range slices.Sorted(maps.Keys(f.below)) {
		f.below[name].rows(r, depth-1, row)
	}
}
