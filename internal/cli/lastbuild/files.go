package lastbuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/larder-build/larder/frontend/changes"
	"github.com/moby/patternmatcher"
	"golang.org/x/mod/modfile"
)

// errMany says that a build reads more files than are kept.
var errMany = errors.New("too many files")

// Bounds of what is read, in bytes: of one file, and of all. What is beyond them counts as changed if its size or the time of its
// last change is another one. Its digest begins with weak.
const (
	maxHashed = 32 << 20
	maxRead   = 256 << 20
	weak      = "~"
)

// settled is how long a file has to be left alone before its times tell that it is as it was: clocks of file systems are coarse.
const settled = 2 * time.Second

// A snapshot reads the files of a build context.
type snapshot struct {
	ctx    context.Context
	dir    string
	root   *os.Root        // dir
	before map[string]File // those of the last build
	settle time.Time       // files that were written since may be written again without a trace
	files  []File
	seen   map[string]bool
	data   []byte // a buffer
	read   int64  // bytes of files

	folder     *os.Root // that was read last; nil for none
	folderName string
}

// Look sets the time and the files of a record: of those that the record's build reads of a folder. ignore are the patterns of
// .dockerignore. What is as it was at a build before, which may be nil, isn't read. No link is followed out of the folder.
func (r *Record) Look(ctx context.Context, dir string, ignore []string, before *Record) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	r.Time = time.Now()
	s := &snapshot{ctx: ctx, dir: dir, root: root, settle: r.Time.Add(-settled), before: map[string]File{}, seen: map[string]bool{}, data: make([]byte, 64<<10)}
	if before != nil {
		for _, f := range before.Files {
			s.before[f.Name] = f
		}
	}
	defer s.close()
	if err = s.look(r.Build.Reads(), ignore); errors.Is(err, errMany) {
		r.More = true
		return nil
	}
	slices.SortFunc(s.files, byName)
	r.Files = s.files
	return err
}

func (s *snapshot) look(reads changes.Reads, ignore []string) error {
	for _, name := range reads.Files {
		if err := s.add(name); err != nil {
			return err
		}
	}
	if len(reads.Folders) == 0 {
		return nil
	}
	hidden, err := patternmatcher.New(ignore)
	if err != nil {
		return err
	}
	for _, folder := range reads.Folders {
		if err := s.walk(folder, hidden, reads.Of); err != nil {
			return err
		}
	}
	return nil
}

// walk adds the files of a folder that are read. What it can't list isn't there for the build either.
func (s *snapshot) walk(folder string, hidden *patternmatcher.PatternMatcher, read func(name string) bool) error {
	return fs.WalkDir(s.root.FS(), folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		out, err := hidden.MatchesOrParentMatches(name)
		switch {
		case err != nil:
			return err
		case d.IsDir() && out && !hidden.Exclusions() && name != ".":
			return fs.SkipDir
		case d.IsDir() || out || !read(name):
			return nil
		}
		return s.add(name)
	})
}

// add reads a file, unless it is known to be as it was. What can't be read is left out.
func (s *snapshot) add(name string) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.seen[name] || len(name) > maxText || !fs.ValidPath(name) {
		return nil
	}
	s.seen[name] = true
	// This may lead out of the folder, where nothing is read: a root would open each folder on the way.
	info, err := os.Lstat(filepath.Join(s.dir, name))
	if err != nil {
		return nil
	}
	if len(s.files) == maxFiles {
		return errMany
	}
	f := File{Name: name}
	if f.Stamp = s.stamp(info); f.Stamp != "" && s.before[name].Stamp == f.Stamp {
		s.files = append(s.files, s.before[name])
		return nil
	}
	if f.Digest, err = s.digest(name, info); err == nil && f.Digest != "" {
		s.files = append(s.files, f)
	}
	return nil
}

// stamp returns what differs once a file is written, or "" if it may be written again without a trace.
func (s *snapshot) stamp(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	changed := time.Unix(st.Ctim.Unix())
	if changed.After(s.settle) || info.ModTime().After(s.settle) {
		return ""
	}
	return fmt.Sprintf("%x.%x.%x.%x.%o", info.Size(), info.ModTime().UnixNano(), changed.UnixNano(), st.Ino, st.Mode)
}

// digest returns a digest of what a build sees of a file: its content and its mode, or where a link leads. It is "" for what is
// neither.
func (s *snapshot) digest(name string, info fs.FileInfo) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%o\n", info.Mode())
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		to, err := s.root.Readlink(name)
		if err != nil {
			return "", err
		}
		io.WriteString(h, to)
	case !info.Mode().IsRegular():
		return "", nil
	case info.Size() > maxHashed || s.read+info.Size() > maxRead || strings.HasPrefix(s.before[name].Digest, weak):
		fmt.Fprintf(h, "%d %d", info.Size(), info.ModTime().UnixNano())
		return weak + hex.EncodeToString(h.Sum(nil)[:16]), nil
	default:
		s.read += info.Size()
		if err := s.hash(h, name); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

func (s *snapshot) hash(h hash.Hash, name string) error {
	// Files come by folders: to open each one's folder from the root takes most of the time.
	if dir := path.Dir(name); s.folder == nil || s.folderName != dir {
		folder, err := s.root.OpenRoot(dir)
		if err != nil {
			return err
		}
		s.close()
		s.folder, s.folderName = folder, dir
	}
	f, err := open(s.folder, path.Base(name))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{h}, io.LimitReader(f, maxHashed), s.data)
	return err
}

// close closes the folder that was read last.
func (s *snapshot) close() {
	if s.folder != nil {
		_ = s.folder.Close() // nothing was written
	}
}

// open opens a regular file. It doesn't wait for the other end of a pipe.
func open(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid, f.Close())
	}
	return f, nil
}

// Differences says of each file how it differs from an earlier record. dir is the build context.
func (r *Record) Differences(before *Record, dir string) map[string]string {
	was, now := digests(before.Files), digests(r.Files)
	said := map[string]string{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return said
	}
	defer root.Close()
	p := &packages{root: root, modules: map[string]string{}}
	for name, digest := range now {
		switch old, there := was[name]; {
		case !there:
			said[name] = "is new to the build" + p.of(r.Build, name)
		case old != digest:
			said[name] = "changed" + p.of(r.Build, name)
		}
	}
	for name := range was {
		if _, there := now[name]; there {
			continue
		}
		said[name] = "is gone" + p.of(before.Build, name)
		if _, err := root.Lstat(name); err == nil {
			said[name] = "is read no more" + p.of(before.Build, name)
		}
	}
	return said
}

func digests(files []File) map[string]string {
	all := make(map[string]string, len(files))
	for _, f := range files {
		all[f.Name] = f.Digest
	}
	return all
}

// packages tells the packages of files.
type packages struct {
	root    *os.Root
	modules map[string]string // paths, by folders that have a go.mod; "" for one that has none
}

// of returns the package of a file in words that follow its name, or "".
func (p *packages) of(b changes.Build, file string) string {
	dir, ok := b.Package(file)
	if !ok {
		return ""
	}
	for at := dir; ; at = path.Dir(at) {
		if module := p.module(at); module != "" {
			rest, _ := strings.CutPrefix(dir, at)
			if at == "." {
				rest = dir
			}
			return fmt.Sprintf(" (package %s)", path.Join(module, rest))
		}
		if at == "." {
			return ""
		}
	}
}

// maxGoMod is how much of a go.mod is read, in bytes.
const maxGoMod = 1 << 20

func (p *packages) module(dir string) string {
	if name, known := p.modules[dir]; known {
		return name
	}
	f, err := open(p.root, path.Join(dir, "go.mod"))
	if err != nil {
		p.modules[dir] = ""
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxGoMod))
	if err == nil {
		p.modules[dir] = modfile.ModulePath(data)
	}
	return p.modules[dir]
}
