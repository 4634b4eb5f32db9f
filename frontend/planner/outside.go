package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gotree"
	"golang.org/x/mod/modfile"
)

// SourceContext is the named context that holds the build context, and the folders outside of it that replace modules.
const SourceContext = ContextPrefix + "source"

// hiddenDir is the name of the build context's folder in a wide tree. No replace line names such a folder.
const hiddenDir = "build-context"

// An Outside is a folder outside of the build context that replaces a module, by a replace line. A named context brings
// it. The context's name is the module's path, in lower case.
type Outside struct {
	Context string `json:"context"`
	Dir     string `json:"dir"` // in the wide tree
}

// A Wide is a tree with the build context in one of its folders, so that ".." in a replace line leads somewhere. If no
// line needs that, it is the build context itself.
type Wide struct {
	Base    string // the folder of the build context; "." if that is all
	Outside []Outside

	tree fs.FS
}

// whole returns the name of the context that holds a wide tree, or "" if the tree is just the build context.
func (w Wide) whole() string {
	if len(w.Outside) == 0 {
		return ""
	}
	return SourceContext
}

// readModule reads a module of the build context at its place in the wide tree. Its errors and versions name files as
// they are in the build context.
func (w Wide) readModule(context fs.FS, dir string, alone bool) (gotree.Module, error) {
	if len(w.Outside) == 0 {
		return readModule(context, dir, alone)
	}
	if _, err := readModule(context, dir, alone); err != nil {
		return gotree.Module{}, err
	}
	m, err := readModule(w.tree, path.Join(w.Base, dir), alone)
	for i := range m.Versions {
		m.Versions[i].Name = w.shown(m.Versions[i].Name)
	}
	return m, err
}

// shown rewrites paths of the wide tree in a text to paths of the build context, which users know.
func (w Wide) shown(text string) string {
	if len(w.Outside) == 0 {
		return text
	}
	return strings.ReplaceAll(text, w.Base+"/", "")
}

// widen makes the wide tree for the modules in some folders of the build context. It skips a module that it can't read,
// since that is reported elsewhere. It fails if no named context brings a folder outside, unless no module requires
// what the folder replaces, or they require another version.
func widen(req Request, dirs []string, alone bool) (Wide, error) {
	w := Wide{Base: ".", tree: req.Tree}
	found := map[string]replacedOutside{} // by named context
	up := 0
	for _, dir := range dirs {
		m, err := readModule(req.Tree, dir, alone)
		if err != nil {
			continue
		}
		for _, r := range outside(m) {
			name := strings.ToLower(r.module)
			if _, ok := found[name]; !r.applies && (ok || path.IsAbs(r.to) || !req.hasContext(name)) {
				continue
			}
			if path.IsAbs(r.to) {
				return w, fmt.Errorf("%s: %s is replaced by %s, an absolute path, which no build step has: make it relative, such as ../%s", r.at, r.module, r.to, path.Base(r.to))
			}
			if !req.hasContext(name) || req.Folder == nil {
				return w, fmt.Errorf("%s: %s is replaced by %s, which is outside of the build context: pass that folder with --build-context %s=%s, or name one that holds both as the context", r.at, r.module, r.to, name, r.dir)
			}
			found[name] = r
			up = max(up, strings.Count(r.dir+"/", "../"))
		}
	}
	if len(found) == 0 {
		return w, nil
	}
	w.Base = strings.TrimSuffix(strings.Repeat(hiddenDir+"/", up), "/")
	joined := joinedFS{{w.Base, req.Tree}}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		r := found[name]
		tree, err := req.Folder(name)
		if err != nil {
			return w, fmt.Errorf("reading the named context %s: %w", name, err)
		}
		// Its go.mod may name another module, as that of a fork does.
		if _, err := fs.Stat(tree, "go.mod"); errors.Is(err, fs.ErrNotExist) {
			return w, fmt.Errorf("%s: %s is replaced by %s, but the named context %s that stands for it has no go.mod: pass the folder of that module", r.at, r.module, r.to, name)
		}
		o := Outside{name, path.Join(w.Base, r.dir)}
		w.Outside = append(w.Outside, o)
		joined = append(joined, placed{o.Dir, tree})
	}
	w.tree = joined
	return w, nil
}

// A replacedOutside is a replace line whose folder is outside of the tree.
type replacedOutside struct {
	at      string // FILE:LINE
	module  string
	to      string // what the line says
	dir     string // relative to the root of the tree, unless to is absolute
	applies bool   // to a version that is required
}

// outside returns the replace lines of required modules that lead out of the tree. Those that apply to a required
// version come first. The others may apply too: a module from elsewhere may require that version, which only its go.mod
// shows.
func outside(m gotree.Module) (list []replacedOutside) {
	required, applies, lines := map[string]bool{}, map[*modfile.Replace]bool{}, m.Replaces()
	for _, member := range m.Members {
		for _, r := range member.Mod.Require {
			required[r.Mod.Path] = true
			if line, ok := lines.Of(r.Mod); ok {
				applies[line.Replace] = true
			}
		}
	}
	add := func(file string, replaces []*modfile.Replace) {
		for _, r := range replaces {
			dir := path.Join(path.Dir(file), r.New.Path)
			if r.New.Version == "" && required[r.Old.Path] && (path.IsAbs(r.New.Path) || !fs.ValidPath(dir)) {
				list = append(list, replacedOutside{fmt.Sprintf("%s:%d", file, r.Syntax.Start.Line), r.Old.Path, r.New.Path, dir, applies[r]})
			}
		}
	}
	add(m.Work, m.Replaced)
	for _, member := range m.Members {
		add(path.Join(member.Dir, "go.mod"), member.Mod.Replace)
	}
	slices.SortStableFunc(list, func(a, b replacedOutside) int { return rank(a) - rank(b) })
	return list
}

func rank(r replacedOutside) int {
	if r.applies {
		return 0
	}
	return 1
}

// A joinedFS is one tree that is put together from others. Of two trees at a name, the deeper one counts, or else the
// later one.
type joinedFS []placed

type placed struct {
	dir  string
	tree fs.FS
}

// find returns the tree that holds a name, and the name inside that tree.
func (j joinedFS) find(name string) (fs.FS, string) {
	var best placed
	for _, p := range j {
		if _, ok := below(p.dir, name); ok && len(p.dir) >= len(best.dir) {
			best = p
		}
	}
	rel, _ := below(best.dir, name)
	return best.tree, rel
}

// Open implements fs.FS.
func (j joinedFS) Open(name string) (fs.File, error) {
	tree, rel := j.find(name)
	if tree == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return tree.Open(rel)
}

// Stat implements fs.StatFS.
func (j joinedFS) Stat(name string) (fs.FileInfo, error) {
	if tree, rel := j.find(name); tree != nil {
		return fs.Stat(tree, rel)
	}
	if len(j.between(name)) == 0 {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return betweenDir{nil, path.Base(name)}, nil
}

// ReadDir implements fs.ReadDirFS.
func (j joinedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if tree, rel := j.find(name); tree != nil {
		return fs.ReadDir(tree, rel)
	}
	var list []fs.DirEntry
	for _, child := range j.between(name) {
		list = append(list, fs.FileInfoToDirEntry(betweenDir{nil, child}))
	}
	if len(list) == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return list, nil
}

// between returns the names in a folder above the trees.
func (j joinedFS) between(name string) (children []string) {
	for _, p := range j {
		rel, ok := below(name, p.dir)
		if name == "." {
			rel, ok = p.dir, true
		}
		if first, _, _ := strings.Cut(rel, "/"); ok && !slices.Contains(children, first) {
			children = append(children, first)
		}
	}
	slices.Sort(children)
	return children
}

// A betweenDir is a folder above the trees. It has only a name.
type betweenDir struct {
	fs.FileInfo
	name string
}

func (d betweenDir) Name() string      { return d.name }
func (d betweenDir) IsDir() bool       { return true }
func (d betweenDir) Mode() fs.FileMode { return fs.ModeDir | 0o755 }
