package planner

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/expand"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// An ImageConfig is the part of a base image's config that a plan needs.
type ImageConfig struct {
	Env        []string // NAME=VALUE
	User       string
	WorkingDir string
	Shell      []string
}

// A scope holds what is known about a stage at one of its instructions, before it is built.
type scope struct {
	index   int
	name    string
	base    string // what FROM names, expanded
	virtual string // the kind of virtual base that it comes from, by way of other stages too; or ""
	known   bool   // the base image's config is known
	env     env
	set     map[string][]parser.Range // the instructions that set variables
	goEnv   goEnv                     // what RUN wrote with 'go env -w'
	user    string
	dir     string
	shell   []string
	copies  []folderCopy
	parent  int  // the index of the stage that it is made of, or -1
	onbuild int  // the line of an ONBUILD that triggers in stages made of it, or 0
	unread  bool // the config of its base image can't be had
	guessed bool // nobody is asked about its base image: where that has Go's caches is a guess
	adds    bool // something was copied or added to it, of whatever kind
	ran     bool // code of the tree may have run in it
	goRoot  bool // another toolchain may be in the place of the base's
	cgo     int  // the line of a build with cgo, or 0

	byCgo     bool // there are programs in it that GO lines made with cgo
	cgoCopies []CgoCopy

	toolchain   string // of a go stage
	fromScratch bool   // the stage comes from scratch by way of others
	ownSecrets  string // why the stage's modules need other credentials than Larder's steps have, or ""
	credentials int    // the line that sets up credentials in the stage itself, or 0
}

// env holds variables. It implements shell.EnvGetter.
type env map[string]string

// Get implements shell.EnvGetter.
func (e env) Get(name string) (string, bool) {
	v, ok := e[name]
	return v, ok
}

// Keys implements shell.EnvGetter.
func (e env) Keys() []string { return slices.Sorted(maps.Keys(e)) }

// A folderCopy is a folder of a stage with the contents of a folder of the build context. If why is set, something else
// may have been added to it, or may have changed in it.
type folderCopy struct{ dest, src, why string }

func (s *scope) clone() *scope {
	c := *s
	c.env, c.set, c.goEnv.vars = maps.Clone(s.env), maps.Clone(s.set), maps.Clone(s.goEnv.vars)
	c.copies, c.cgoCopies = slices.Clone(s.copies), slices.Clone(s.cgoCopies)
	return &c
}

// expand expands the variables of a word as BuildKit's converter does. It leaves a word that it can't expand unchanged.
func (s *scope) expand(lex *expand.Lex, word string) string {
	if !strings.ContainsAny(word, `$\'"`) && !strings.ContainsRune(word, '`') {
		return word
	}
	out, err := lex.Word(word, s.env)
	if err != nil {
		return word
	}
	return out.Result
}

// step updates the scope for an instruction that is neither GO nor RUN.
func (s *scope) step(lex *expand.Lex, cmd instructions.Command, globals env, buildArgs map[string]string, tree fs.FS) {
	switch c := cmd.(type) {
	case *instructions.EnvCommand:
		before := s.clone() // A=1 B=$A takes A from before
		for _, kv := range c.Env {
			name := before.expand(lex, kv.Key)
			s.env[name], s.set[name] = before.expand(lex, kv.Value), c.Location()
		}
	case *instructions.ArgCommand:
		for _, kv := range c.Args {
			s.arg(lex, kv, globals, buildArgs)
			s.set[kv.Key] = c.Location()
		}
	case *instructions.WorkdirCommand:
		s.dir = path.Join("/", s.dir, s.expand(lex, c.Path))
		if p := s.expand(lex, c.Path); path.IsAbs(p) {
			s.dir = path.Clean(p)
		}
	case *instructions.UserCommand:
		s.user = s.expand(lex, c.User)
	case *instructions.ShellCommand:
		s.shell = c.Shell
	case *instructions.CopyCommand:
		s.adds = true
		s.noteGoRoot(lex, c.DestPath)
		s.copyCommand(lex, tree, c)
	case *instructions.AddCommand:
		s.adds = true
		s.noteGoRoot(lex, c.DestPath)
		s.addCommand(lex, tree, c)
	case *instructions.OnbuildCommand:
		s.onbuild = c.Location()[0].Start.Line
	}
}

// copyCommand notes the folders that a COPY brings.
func (s *scope) copyCommand(lex *expand.Lex, tree fs.FS, c *instructions.CopyCommand) {
	at := fmt.Sprintf("COPY in line %d", c.Location()[0].Start.Line)
	for _, doc := range c.SourceContents {
		s.other(lex, doc.Path, c.DestPath, at)
	}
	if c.From != "" {
		for _, source := range c.SourcePaths {
			s.other(lex, source, c.DestPath, at)
		}
		return
	}
	s.copy(lex, tree, c.SourcePaths, c.DestPath, c.Parents)
	s.exclude(lex, c.ExcludePatterns, c.DestPath, at)
}

// notPlain matches sources that ADD may fetch or unpack, and those that aren't known.
var notPlain = regexp.MustCompile(`\.(tar|tgz|txz|tbz2?|zip|gz|xz|bz2|zst)$|://|^[\w.-]+@[\w.-]+:|\$`)

// addCommand notes the folders that an ADD brings.
func (s *scope) addCommand(lex *expand.Lex, tree fs.FS, c *instructions.AddCommand) {
	at := fmt.Sprintf("ADD in line %d", c.Location()[0].Start.Line)
	for _, doc := range c.SourceContents {
		s.other(lex, doc.Path, c.DestPath, at)
	}
	var local []string
	for _, source := range c.SourcePaths {
		if expanded := s.expand(lex, source); notPlain.MatchString(expanded) {
			s.copies = append(s.copies, folderCopy{dest: s.abs(s.expand(lex, c.DestPath)), why: at})
			continue
		}
		local = append(local, source)
	}
	s.copy(lex, tree, local, c.DestPath, false)
	s.exclude(lex, c.ExcludePatterns, c.DestPath, at)
}

// other notes that a file or folder from outside of the build context was copied into the stage. A name with an
// extension counts as a file.
func (s *scope) other(lex *expand.Lex, source, dest, at string) {
	source, dest = s.expand(lex, source), s.expand(lex, dest)
	name := path.Base(source)
	into := strings.HasSuffix(dest, "/") || dest == "."
	dest = s.abs(dest)
	if into && path.Ext(name) != "" {
		dest = path.Join(dest, name)
	}
	if isModuleFile(path.Base(dest)) {
		dest = path.Dir(dest)
	}
	s.copies = append(s.copies, folderCopy{dest: dest, why: at})
}

// exclude notes that a copy may have left out files that define a module, such as go.mod or vendor.
func (s *scope) exclude(lex *expand.Lex, patterns []string, dest, at string) {
	for _, p := range patterns {
		if base := path.Base(s.expand(lex, p)); strings.Contains(base, "go.") || strings.HasPrefix(base, "*") || base == "vendor" {
			s.copies = append(s.copies, folderCopy{dest: s.abs(s.expand(lex, dest)), why: at})
			return
		}
	}
}

// isModuleFile reports whether a file of that name defines a module or a workspace.
func isModuleFile(name string) bool {
	return slices.Contains([]string{"go.mod", "go.sum", "go.work", "go.work.sum"}, name)
}

func (s *scope) arg(lex *expand.Lex, kv instructions.KeyValuePairOptional, globals env, buildArgs map[string]string) {
	if v, ok := buildArgs[kv.Key]; ok {
		s.env[kv.Key] = v
	} else if kv.Value != nil {
		s.env[kv.Key] = s.expand(lex, *kv.Value)
	} else if v, ok := globals[kv.Key]; ok {
		s.env[kv.Key] = v
	}
}

// copy notes where folders with a go.mod file are copied to. Other folders don't matter.
func (s *scope) copy(lex *expand.Lex, tree fs.FS, sources []string, dest string, parents bool) {
	dest = s.expand(lex, dest)
	into := strings.HasSuffix(dest, "/") || dest == "." || len(sources) > 1
	dest = s.abs(dest)
	for _, source := range sources {
		source = strings.TrimPrefix(path.Clean("/"+s.expand(lex, source)), "/")
		if source == "" {
			source = "."
		}
		matches := []string{source}
		if strings.ContainsAny(source, "*?[") {
			matches, _ = fs.Glob(tree, source)
		}
		for _, m := range matches {
			s.copyOne(tree, m, dest, into || len(matches) > 1, parents)
		}
	}
}

func (s *scope) copyOne(tree fs.FS, source, dest string, into, parents bool) {
	if base := path.Base(dest); !into && isModuleFile(base) && base != path.Base(source) {
		s.copies = append(s.copies, folderCopy{dest: path.Dir(dest), why: "the file " + source})
		return
	}
	fi, err := fs.Stat(tree, source)
	switch {
	case err != nil: // it has no file of a module
		return
	case parents:
		dest = path.Join(dest, source)
		if !fi.IsDir() {
			source, dest = path.Dir(source), path.Dir(dest)
		}
	case fi.IsDir(): // its contents are copied
	case path.Base(source) != "go.mod":
		return
	default:
		if !into {
			dest = path.Dir(dest)
		}
		source = path.Dir(source)
	}
	s.copies = append(s.copies, folderCopy{dest: dest, src: source})
}

func (s *scope) abs(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", s.dir, p)
}

// contextDir returns the folder of a module in the build context, for a folder of the stage inside that module. The
// bool is false if no instruction shows that. If several COPY lines filled the folder, the last one that brought a
// go.mod counts.
func (s *scope) contextDir(tree fs.FS, dir string) (string, bool) {
	for {
		for _, c := range slices.Backward(s.copies) {
			rel, ok := below(c.dest, dir)
			if !ok || c.why != "" {
				continue
			}
			src := path.Join(c.src, rel)
			if (gotree.Tree{FS: tree}).IsModule(src) {
				return src, true
			}
		}
		if dir == "/" {
			return "", false
		}
		dir = path.Dir(dir)
	}
}

// moduleDir is like contextDir, but answers only if it is sure. Otherwise why says what makes the module uncertain, or
// that there is none.
func (s *scope) moduleDir(tree fs.FS, start string) (dir, why string) {
	root, by := "", -1 // the module's folder in the stage, and the copy that brought its go.mod
	for at := start; by < 0; at = path.Dir(at) {
		for i, c := range slices.Backward(s.copies) {
			rel, ok := below(c.dest, at)
			if src := path.Join(c.src, rel); ok && c.why == "" && (gotree.Tree{FS: tree}).IsModule(src) {
				root, by, dir = at, i, src
				break
			}
		}
		if at == "/" {
			break
		}
	}
	for i, c := range slices.Backward(s.copies) {
		if _, covers := below(c.dest, start); !covers || c.why == "" {
			continue
		}
		// What came before the go.mod may have put another one into a folder below it.
		if rel, ok := below(root, c.dest); i > by || ok && rel != "." {
			return "", c.why + " may have changed the module in " + start
		}
	}
	if by < 0 {
		return "", "no instruction copies a module of the build context to " + start
	}
	return dir, ""
}

// below returns dir relative to root. The bool is false if dir isn't root or inside it.
func below(root, dir string) (string, bool) {
	if root == dir {
		return ".", true
	}
	return strings.CutPrefix(dir, strings.TrimSuffix(root, "/")+"/")
}

// home returns the home folder of the stage's user. The bool is false if it isn't known.
func (s *scope) home() (string, bool) {
	if h, ok := s.env["HOME"]; ok {
		return h, path.IsAbs(h)
	}
	name, _, _ := strings.Cut(s.user, ":")
	switch {
	case name == "" || name == "root" || name == "0":
		return "/root", true
	case strings.Trim(name, "0123456789") == "" || strings.Contains(name, "$"):
		return "", false // a number says nothing of a home
	}
	return "/home/" + name, true
}

func (s *scope) root() bool {
	name, _, _ := strings.Cut(s.user, ":")
	return name == "" || name == "root" || name == "0"
}
