package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/patternmatcher"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// A folder reads a folder of this machine as the builder sees it after the transfer: without the files that a local
// source leaves out. It answers as that source's reference does, but it neither waits for the transfer nor calls the
// builder. It lists a folder when that is asked for.
type folder struct {
	root             *os.Root
	matching         sync.Mutex                     // guards what follows
	include, exclude *patternmatcher.PatternMatcher // nil for all, and for none
	matched          map[string]patternMatch        // of folders that were listed with what they are in

	mu    sync.Mutex // guards what follows
	lists map[string][]*fstypes.Stat
}

// localSource returns a definition's local source and its name, if the definition has nothing else. It returns nil if
// there is anything else, or if the source has an attribute that a folder doesn't support.
func localSource(def *llb.Definition, session string) (name string, source *pb.SourceOp) {
	if len(def.Def) != 2 { // the second one has the first as its input
		return "", nil
	}
	var op pb.Op
	if err := op.Unmarshal(def.Def[0]); err != nil || op.GetSource() == nil {
		return "", nil
	}
	name, ok := strings.CutPrefix(op.GetSource().Identifier, "local://")
	for attr, value := range op.GetSource().Attrs {
		switch attr {
		case pb.AttrIncludePatterns, pb.AttrExcludePatterns, pb.AttrFollowPaths, pb.AttrSharedKeyHint, pb.AttrLocalUniqueID, pb.AttrLocalDiffer:
		case pb.AttrLocalSessionID:
			ok = ok && value == session
		default:
			ok = false
		}
	}
	if !ok {
		return "", nil
	}
	return name, op.GetSource()
}

// openFolder opens the folder of a local source. It closes it when the context ends.
func openFolder(ctx context.Context, dir string, source *pb.SourceOp) (*folder, error) {
	lists := map[string][]string{}
	for _, attr := range []string{pb.AttrIncludePatterns, pb.AttrExcludePatterns, pb.AttrFollowPaths} {
		var list []string
		if value := source.Attrs[attr]; value != "" {
			if err := json.Unmarshal([]byte(value), &list); err != nil {
				return nil, fmt.Errorf("reading %s of %s: %w", attr, source.Identifier, err)
			}
		}
		lists[attr] = list
	}
	include := lists[pb.AttrIncludePatterns]
	if follow := lists[pb.AttrFollowPaths]; len(follow) > 0 {
		from, err := fsutil.NewFS(dir)
		if err != nil {
			return nil, err
		}
		targets, err := fsutil.FollowLinks(from, follow)
		if err != nil {
			return nil, err
		}
		include = append(include, targets...)
	}
	f := &folder{matched: map[string]patternMatch{}, lists: map[string][]*fstypes.Stat{}}
	var err error
	if f.include, err = matcherOf(include); err != nil {
		return nil, err
	}
	if f.exclude, err = matcherOf(lists[pb.AttrExcludePatterns]); err != nil {
		return nil, err
	}
	if f.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = f.root.Close() }) // nothing was written
	return f, nil
}

func matcherOf(patterns []string) (*patternmatcher.PatternMatcher, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	return patternmatcher.New(patterns)
}

// A patternMatch says which patterns matched a folder. They count for the files in it, too.
type patternMatch struct{ include, exclude patternmatcher.MatchInfo }

// sends reports whether a file or folder is sent. If it is a folder that isn't sent, deeper reports whether something
// in it may be: then the folder is sent, too. The rules are those of the session (fsutil.NewFilterFS): a match of a
// parent folder counts.
func (f *folder) sends(dir, name string, isDir bool) (sent, deeper bool, err error) {
	f.matching.Lock()
	defer f.matching.Unlock()
	above, here := f.matched[dir], patternMatch{}
	sent, deeper = true, true
	if f.include != nil {
		if sent, here.include, err = f.include.MatchesUsingParentResults(name, above.include); err != nil {
			return false, false, err
		}
		deeper = sent || mayMatch(f.include, name, false)
	}
	if f.exclude != nil {
		var excluded bool
		if excluded, here.exclude, err = f.exclude.MatchesUsingParentResults(name, above.exclude); err != nil {
			return false, false, err
		}
		sent, deeper = sent && !excluded, deeper && (!excluded || mayMatch(f.exclude, name, true))
	}
	if isDir {
		f.matched[name] = here
	}
	return sent, deeper && isDir, nil
}

// mayMatch reports whether a pattern of a list may match something in a folder. It looks either at exceptions only, or
// at the other patterns only.
func mayMatch(patterns *patternmatcher.PatternMatcher, dir string, exceptions bool) bool {
	return slices.ContainsFunc(patterns.Patterns(), func(p *patternmatcher.Pattern) bool {
		return p.Exclusion() == exceptions && (strings.ContainsAny(p.String(), `*?[]^\`) || strings.HasPrefix(p.String()+"/", dir+"/"))
	})
}

// list returns what is sent of a folder, sorted by name. The folder's name must be free of symbolic links.
func (f *folder) list(dir string) ([]*fstypes.Stat, error) {
	f.mu.Lock()
	list, ok := f.lists[dir]
	f.mu.Unlock()
	if ok {
		return list, nil
	}
	file, err := f.root.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a pipe
	if err != nil {
		return nil, err
	}
	entries, err := file.ReadDir(-1)
	file.Close()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		st, err := f.entry(dir, e)
		if err != nil {
			return nil, err
		}
		if st != nil {
			list = append(list, st)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists[dir] = list
	return list, nil
}

// entry returns what is sent of a file, or nil if it isn't sent.
func (f *folder) entry(dir string, e fs.DirEntry) (*fstypes.Stat, error) {
	name := path.Join(dir, e.Name())
	sent, deeper, err := f.sends(dir, name, e.IsDir())
	if err != nil {
		return nil, err
	}
	if !sent {
		if !deeper {
			return nil, nil
		}
		if list, err := f.list(name); len(list) == 0 {
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				err = nil // nothing of it was asked for
			}
			return nil, err
		}
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it is gone since
	} else if err != nil {
		return nil, err
	}
	st := &fstypes.Stat{Path: e.Name(), Mode: uint32(info.Mode() &^ fs.ModeSocket), ModTime: info.ModTime().UnixNano()}
	if !info.IsDir() {
		st.Size = info.Size()
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		st.Linkname, err = f.root.Readlink(name)
	}
	return st, err
}

var topFolder = &fstypes.Stat{Path: ".", Mode: uint32(fs.ModeDir | 0o755)}

// maxLinks bounds the symbolic links that are followed for one name.
const maxLinks = 255

// find follows the symbolic links of a name. The folder is the root, so that no link leads out of it. It returns the
// name without links, and what is sent of the file.
func (f *folder) find(op, name string) (string, *fstypes.Stat, error) {
	at, st := ".", topFolder
	todo, links := elements(name), 0
	for len(todo) > 0 {
		if !fs.FileMode(st.Mode).IsDir() {
			return "", nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOENT}
		}
		list, err := f.list(at)
		if err != nil {
			return "", nil, err
		}
		i, ok := slices.BinarySearchFunc(list, todo[0], func(st *fstypes.Stat, name string) int { return strings.Compare(st.Path, name) })
		if !ok {
			return "", nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOENT}
		}
		if st = list[i]; fs.FileMode(st.Mode)&fs.ModeSymlink == 0 {
			at, todo = path.Join(at, todo[0]), todo[1:]
			continue
		}
		if links++; links > maxLinks {
			return "", nil, &fs.PathError{Op: op, Path: name, Err: syscall.ELOOP}
		}
		target := st.Linkname
		if !path.IsAbs(target) {
			target = path.Join(at, target)
		}
		at, st, todo = ".", topFolder, append(elements(target), todo[1:]...)
	}
	return at, st, nil
}

// elements splits a name at its slashes. As in BuildKit, ".." removes the element before it.
func elements(name string) []string {
	clean := path.Join("/", name)[1:]
	if clean == "" {
		return nil
	}
	return strings.Split(clean, "/")
}

// StatFile implements gateway.Reference.
func (f *folder) StatFile(_ context.Context, req gateway.StatRequest) (*fstypes.Stat, error) {
	_, st, err := f.find("stat", req.Path)
	return st, err
}

// ReadDir implements gateway.Reference. It ignores patterns.
func (f *folder) ReadDir(ctx context.Context, req gateway.ReadDirRequest) ([]*fstypes.Stat, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, _, err := f.find("open", req.Path)
	if err != nil {
		return nil, err
	}
	return f.list(dir)
}

// ReadFile implements gateway.Reference. It reads from the start of the file.
func (f *folder) ReadFile(ctx context.Context, req gateway.ReadRequest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, st, err := f.find("open", req.Filename)
	if err != nil {
		return nil, err
	}
	if !fs.FileMode(st.Mode).IsRegular() {
		return nil, errNotRegular
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // what was a file may be a pipe by now
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errNotRegular)
	}
	length := int64(req.Range.Length)
	data := bytes.NewBuffer(make([]byte, 0, min(info.Size(), length)+bytes.MinRead))
	_, err = data.ReadFrom(io.LimitReader(file, length))
	return data.Bytes(), err
}

var errNotRegular = errors.New("not a regular file")

// A sentFolder reads a folder, and falls back to the builder's copy if this machine can't read it. In that case the
// transfer fails, and the builder has the better error.
type sentFolder struct {
	*folder
	sent func() (reader, error)
}

// StatFile implements gateway.Reference.
func (f sentFolder) StatFile(ctx context.Context, req gateway.StatRequest) (*fstypes.Stat, error) {
	st, err := f.folder.StatFile(ctx, req)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return st, err
	}
	ref, err := f.sent()
	if err != nil {
		return nil, err
	}
	return ref.StatFile(ctx, req)
}

// ReadDir implements gateway.Reference.
func (f sentFolder) ReadDir(ctx context.Context, req gateway.ReadDirRequest) ([]*fstypes.Stat, error) {
	list, err := f.folder.ReadDir(ctx, req)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return list, err
	}
	ref, err := f.sent()
	if err != nil {
		return nil, err
	}
	return ref.ReadDir(ctx, req)
}

// ReadFile implements gateway.Reference.
func (f sentFolder) ReadFile(ctx context.Context, req gateway.ReadRequest) ([]byte, error) {
	data, err := f.folder.ReadFile(ctx, req)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	ref, err := f.sent()
	if err != nil {
		return nil, err
	}
	return ref.ReadFile(ctx, req)
}
