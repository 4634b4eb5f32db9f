// Package gitfs is a folder as a commit has it, as a read-only tree. It exists so that a plan can be made of what was
// there, without a checkout. It asks git, which knows all forms of repositories, and runs nothing that a repository's
// configuration names.
package gitfs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Tree is a folder of a commit. Submodules are left out. Several goroutines may read it at once.
type Tree struct {
	files map[string]entry
	git   *exec.Cmd // answers one object after the other

	mu  sync.Mutex // is held while git is asked
	in  io.WriteCloser
	out *bufio.Reader
}

type entry struct {
	mode     fs.FileMode
	object   string
	size     int64
	children []string // names, sorted, of a folder
}

// maxFile is the size in bytes of the largest file that can be read.
const maxFile = 64 << 20

// Open reads what a commit, tag or branch has of a folder on this machine. The tree can be read until ctx ends or it is
// closed.
func Open(ctx context.Context, dir, ref string) (*Tree, error) {
	commit, err := resolve(ctx, dir, ref)
	if err != nil {
		return nil, err
	}
	out, err := run(ctx, dir, "ls-tree", "-r", "-l", "-z", commit, "--", ".")
	if err != nil {
		return nil, err
	}
	t := &Tree{git: Command(ctx, dir, "cat-file", "--batch"), files: map[string]entry{".": {mode: fs.ModeDir | 0o755}}}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if err := t.add(line); err != nil {
			return nil, fmt.Errorf("what git lists of %s: %w", ref, err)
		}
	}
	for _, e := range t.files {
		slices.Sort(e.children)
	}
	if t.in, err = t.git.StdinPipe(); err != nil {
		return nil, err
	}
	objects, err := t.git.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.out = bufio.NewReader(objects)
	if err := t.git.Start(); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	return t, nil
}

// Close ends the reading.
func (t *Tree) Close() error { return errors.Join(t.in.Close(), t.git.Wait()) }

func resolve(ctx context.Context, dir, ref string) (string, error) {
	if strings.HasPrefix(ref, "-") {
		return "", fmt.Errorf("%q isn't the name of a commit", ref)
	}
	out, err := run(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	if _, err := run(ctx, dir, "rev-parse", "--git-dir"); err != nil {
		return "", fmt.Errorf("%s isn't in a git repository: %w", dir, err)
	}
	if shallow, err := run(ctx, dir, "rev-parse", "--is-shallow-repository"); err == nil && strings.TrimSpace(string(shallow)) == "true" {
		return "", fmt.Errorf("this shallow clone has no commit %s: fetch it with 'git fetch --depth=1 origin %[1]s', or clone with its history (actions/checkout: fetch-depth: 0)", ref)
	}
	return "", fmt.Errorf("the repository has no commit %s: name a commit, tag or branch that 'git log' knows, or fetch it", ref)
}

// add adds a line of ls-tree: MODE TYPE OBJECT SIZE<tab>NAME.
func (t *Tree) add(line string) error {
	if line == "" {
		return nil
	}
	facts, name, ok := strings.Cut(line, "\t")
	words := strings.Fields(facts)
	if !ok || len(words) != 4 || !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("unexpected line %q", line)
	}
	e := entry{object: words[2]}
	switch words[0] {
	case "100644":
		e.mode = 0o644
	case "100755":
		e.mode = 0o755
	case "120000":
		e.mode = fs.ModeSymlink | 0o777
	default:
		return nil // a submodule
	}
	var err error
	if e.size, err = strconv.ParseInt(words[3], 10, 64); err != nil {
		return fmt.Errorf("unexpected size in %q", line)
	}
	t.files[name] = e
	for name != "." {
		dir, base := path.Dir(name), path.Base(name)
		above, known := t.files[dir]
		if !known {
			above.mode = fs.ModeDir | 0o755
		}
		above.children = append(above.children, base)
		t.files[dir] = above
		if known {
			break
		}
		name = dir
	}
	return nil
}

func run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return output(Command(ctx, dir, args...))
}

// output runs git.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// Command returns a git command in a folder. It runs no hook and no monitor that the repository's configuration names.
func Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=" + os.DevNull}, args...)...)
}

// find returns the entry of a name, or of what the symbolic links in it lead to, none of which leads out of the tree.
func (t *Tree) find(op, name string) (string, entry, error) {
	bad := func(err error) (string, entry, error) {
		return "", entry{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	if !fs.ValidPath(name) {
		return bad(fs.ErrInvalid)
	}
	at, rest := ".", strings.Split(name, "/")
	if name == "." {
		rest = nil
	}
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		e, ok := t.files[next]
		if !ok || !fs.ValidPath(next) {
			return bad(fs.ErrNotExist)
		}
		if rest = rest[1:]; e.mode&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > 40 {
			return bad(errors.New("too many symbolic links"))
		}
		target, err := t.read(e)
		if err != nil {
			return bad(err)
		}
		if path.IsAbs(string(target)) || !fs.ValidPath(path.Join(at, string(target))) {
			return bad(errors.New("the symbolic link leads out of the tree"))
		}
		at, rest = ".", append(strings.Split(path.Join(path.Dir(next), string(target)), "/"), rest...)
		rest = slices.DeleteFunc(rest, func(element string) bool { return element == "." })
	}
	return at, t.files[at], nil
}

func (t *Tree) read(e entry) ([]byte, error) {
	if e.size > maxFile {
		return nil, fmt.Errorf("it has %d bytes, and Larder reads no file of over %d", e.size, maxFile)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := fmt.Fprintln(t.in, e.object); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	head, err := t.out.ReadString('\n') // OBJECT blob SIZE
	if err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	if want := fmt.Sprintf("%s blob %d\n", e.object, e.size); head != want {
		return nil, fmt.Errorf("git cat-file: expected %q, not %q", want, head)
	}
	data := make([]byte, e.size+1) // and the end of the line
	if _, err := io.ReadFull(t.out, data); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	return data[:e.size], nil
}

// Open implements fs.FS.
func (t *Tree) Open(name string) (fs.File, error) {
	at, e, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if e.mode.IsDir() {
		return &folder{info{path.Base(at), e}, t.entries(at, e)}, nil
	}
	data, err := t.read(e)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &file{info{path.Base(at), e}, bytes.NewReader(data)}, nil
}

// Stat implements fs.StatFS.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	at, e, err := t.find("stat", name)
	return info{path.Base(at), e}, err
}

// ReadDir implements fs.ReadDirFS.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	at, e, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if !e.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("it isn't a folder")}
	}
	return t.entries(at, e), nil
}

func (t *Tree) entries(dir string, e entry) []fs.DirEntry {
	list := make([]fs.DirEntry, len(e.children))
	for i, child := range e.children {
		list[i] = fs.FileInfoToDirEntry(info{child, t.files[path.Join(dir, child)]})
	}
	return list
}

// A file is an open file.
type file struct {
	info info
	*bytes.Reader
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

// A folder is an open folder.
type folder struct {
	info    info
	entries []fs.DirEntry // that weren't read yet
}

func (f *folder) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *folder) Close() error               { return nil }

func (f *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: errors.New("it is a folder")}
}

// ReadDir implements fs.ReadDirFile.
func (f *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(f.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(f.entries) {
		n = len(f.entries)
	}
	list := f.entries[:n]
	f.entries = f.entries[n:]
	return list, nil
}

// An info is a file's name and entry.
type info struct {
	name string
	entry
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return nil }
