package frontend

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/singleflight"
)

// context returns a view of the build context. If the file has RUN lines only, the view has only the modules' files, so
// that no other files are sent before BuildKit knows what the build needs. A build that compiles sends the sources
// anyhow.
func (b *build) context(ctx context.Context, file dockerfile.File) (fs.FS, error) {
	var opts []llb.LocalOption
	if !planner.ReadsSources(file) {
		opts = []llb.LocalOption{
			llb.IncludePatterns(moduleFiles),
			llb.SharedKeyHint("larder-module-files"),
			llb.WithCustomName("[internal] load go.mod and go.sum"),
		}
	}
	st, err := b.ui.MainContext(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("reading the build context: %w", err)
	}
	return b.tree(ctx, *st)
}

// moduleFiles are patterns for the files that a plan of a file with instructions reads.
var moduleFiles = []string{"**/go.work", "**/go.work.sum", "**/go.mod", "**/go.sum", "**/vendor/modules.txt"}

// moduleFiles returns a view of a named context, with the files that a plan reads.
func (b *build) moduleFiles(ctx context.Context, name string) (fs.FS, error) {
	st, err := b.named(ctx, name, llb.IncludePatterns(moduleFiles))
	if err != nil {
		return nil, err
	}
	return b.tree(ctx, st)
}

// tree returns a view of a state. It reads a folder of the client's from the disk if it knows where that is, and else
// asks the builder.
func (b *build) tree(ctx context.Context, st llb.State) (fs.FS, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	solve := func() (reader, error) { return b.solve(ctx, def.ToPB()) }
	name, source := localSource(def, b.client.BuildOpts().SessionID)
	if dir := b.folders[name]; source != nil && dir != "" {
		if f, err := openFolder(ctx, dir, source); err == nil {
			return newRefFS(ctx, sentFolder{f, sync.OnceValues(solve)}), nil
		}
	}
	ref, err := solve()
	if err != nil {
		return nil, err
	}
	return newRefFS(ctx, ref), nil
}

func (b *build) solve(ctx context.Context, def *pb.Definition) (reader, error) {
	res, err := b.client.Solve(ctx, gateway.SolveRequest{Definition: def})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// folder returns a named context that is laid out as a GOPROXY, with only the files that are needed. The client sends
// only these. From an image they are copied, so that no other module in it changes a key.
func (b *build) folder(ctx context.Context, name string, files []string) (llb.State, error) {
	st, err := b.named(ctx, name, llb.FollowPaths(files))
	if err != nil || strings.HasPrefix(b.client.opts[contextOpt+name], "local:") {
		return st, err
	}
	return larder.Files(st, files, fmt.Sprintf("[internal] take up to %d files from %s", len(files), name)), nil
}

func (b *build) named(ctx context.Context, name string, opts ...llb.LocalOption) (llb.State, error) {
	nc, err := b.ui.NamedContext(name, dockerui.ContextOpt{
		NoDockerignore: true,
		AsyncLocalOpts: func() []llb.LocalOption { return opts },
	})
	if err != nil {
		return llb.State{}, err
	}
	if nc == nil {
		return llb.State{}, fmt.Errorf("the build has no named context %s: pass it with --build-context %s=FOLDER", name, name)
	}
	st, _, err := nc.Load(ctx)
	if err != nil {
		return llb.State{}, fmt.Errorf("loading the named context %s: %w", name, err)
	}
	return *st, nil
}

// holdsAny returns the first of some files that exists in a named context, or "". A context that can't be read counts
// as empty: the error comes when its files are needed.
func (b *build) holdsAny(ctx context.Context, name string, files []string) string {
	st, err := b.folder(ctx, name, files)
	if err != nil {
		return ""
	}
	tree, err := b.tree(ctx, st)
	if err != nil {
		return ""
	}
	for _, f := range files {
		if _, err := fs.Stat(tree, f); err == nil {
			return f
		}
	}
	return ""
}

// ignoreFile returns the user's FILE.dockerignore, or nil.
func (b *build) ignoreFile(ctx context.Context) ([]byte, error) {
	// The file lies where the Dockerfile was read from, which the source map has the definition of.
	res, err := b.client.Solve(ctx, gateway.SolveRequest{Definition: b.src.Definition.ToPB()})
	if err != nil {
		return nil, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	data, err := dockerui.ReadFile(ctx, ref, b.src.Filename+".dockerignore") // as it was read with the Dockerfile
	if err != nil {
		return nil, nil
	}
	return data, nil
}

// A reader has the methods of gateway.Reference that read files.
type reader interface {
	ReadFile(ctx context.Context, req gateway.ReadRequest) ([]byte, error)
	StatFile(ctx context.Context, req gateway.StatRequest) (*fstypes.Stat, error)
	ReadDir(ctx context.Context, req gateway.ReadDirRequest) ([]*fstypes.Stat, error)
}

// refFS is a solved reference as a read-only file system. It keeps the context of the build that it belongs to, since
// fs.FS has no place for one, and what it has read: a reference doesn't change, a plan asks for the same files again
// and again, and each call of the builder takes a while. Several goroutines may read it at once.
type refFS struct {
	ctx  context.Context
	ref  reader
	once singleflight.Group // folders that are being read

	mu    sync.Mutex        // guards what follows; not held while the builder is asked
	files map[string][]byte // or the first block of each
	kept  int               // bytes in files
	dirs  map[string]refDir
}

// refDir is the listing of a folder.
type refDir struct {
	entries []fs.DirEntry
	byName  map[string]*fstypes.Stat
}

func newRefFS(ctx context.Context, ref reader) *refFS {
	return &refFS{ctx: ctx, ref: ref, files: map[string][]byte{}, dirs: map[string]refDir{}}
}

// maxFile bounds how much of a file is read, in bytes. A gateway message can't hold more.
const maxFile = 16 << 20

// firstBlock is how much of a file is read when it is opened, in bytes. It nearly always has all imports of a Go file.
// maxKept bounds the bytes that are kept of all files.
const (
	firstBlock = 8 << 10
	maxKept    = 4 << 20
)

// Open implements fs.FS. It reads the start of a file, and the rest when it is needed.
func (f *refFS) Open(name string) (fs.File, error) {
	data, err := f.read(name, firstBlock)
	if err == nil {
		return &refFile{fs: f, name: name, data: data, next: len(data), more: len(data) == firstBlock}, nil
	}
	if st, serr := f.stat("open", name); serr == nil && st.IsDir() {
		return &refFile{fs: f, name: name}, nil
	}
	return nil, err
}

// Stat implements fs.StatFS.
func (f *refFS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name) }

func (f *refFS) stat(op, name string) (statInfo, error) {
	if !fs.ValidPath(name) {
		return statInfo{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if st, known := f.listed(name); known && st == nil {
		return statInfo{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	} else if known && fs.FileMode(st.Mode)&fs.ModeSymlink == 0 {
		return statInfo{st}, nil
	}
	st, err := f.ref.StatFile(f.ctx, gateway.StatRequest{Path: name})
	if err != nil {
		// The error has come through gRPC and is a text by now.
		if strings.Contains(err.Error(), syscall.ENOENT.Error()) || strings.Contains(err.Error(), syscall.ENOTDIR.Error()) {
			err = fs.ErrNotExist
		}
		return statInfo{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return statInfo{st}, nil
}

// listed looks up a file in the listing of its folder, or learns from a listing above that the folder isn't there. It
// uses listings that were read. It also reads the root's: most files that a plan looks for don't exist, and this one
// call shows that for nearly all of them. st is nil if the file isn't there.
func (f *refFS) listed(name string) (st *fstypes.Stat, known bool) {
	if name == "." {
		return nil, false
	}
	parent := path.Dir(name)
	dir, known := f.known(parent)
	if !known && parent == "." {
		var err error
		dir, err = f.readDir(parent)
		known = err == nil
	}
	if !known {
		above, known := f.listed(parent)
		return nil, known && above == nil
	}
	return dir.byName[path.Base(name)], true
}

// known returns the listing of a folder, if it was read.
func (f *refFS) known(name string) (refDir, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, ok := f.dirs[name]
	return dir, ok
}

// ReadFile implements fs.ReadFileFS.
func (f *refFS) ReadFile(name string) ([]byte, error) {
	data, err := f.read(name, maxFile+1)
	return slices.Clone(data), err
}

// read returns a file, or its first bytes up to a length. It keeps them for calls that ask for no more.
func (f *refFS) read(name string, length int) ([]byte, error) {
	f.mu.Lock()
	data, ok := f.files[name]
	f.mu.Unlock()
	if ok && (len(data) >= length || len(data) != firstBlock) {
		return data, nil
	}
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	st, known := f.listed(name)
	if known && st == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	data, err := f.ref.ReadFile(f.ctx, gateway.ReadRequest{Filename: name, Range: &gateway.FileRange{Length: length}})
	if tooLarge := len(data) > maxFile || known && st.Size > maxFile; err != nil || tooLarge {
		st, serr := f.stat("open", name)
		if serr != nil || err != nil {
			return nil, cmp.Or(serr, err)
		}
		return nil, fmt.Errorf("%s has %d bytes: Larder reads no file of over %d", name, st.Size(), maxFile)
	}
	f.keep(name, data)
	return data, nil
}

// keep remembers what was read of a file, while there is room.
func (f *refFS) keep(name string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if more := len(data) - len(f.files[name]); f.kept+more <= maxKept {
		f.files[name], f.kept = data, f.kept+more
	}
}

// ReadDir implements fs.ReadDirFS.
func (f *refFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	dir, err := f.readDir(name)
	if err == nil {
		return slices.Clone(dir.entries), nil
	}
	if _, err := f.stat("open", name); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("reading folder %s of the build context: %w", name, err)
}

// readDir reads a folder once, even if several ask for it at the same time.
func (f *refFS) readDir(name string) (refDir, error) {
	if dir, ok := f.known(name); ok {
		return dir, nil
	}
	v, err, _ := f.once.Do(name, func() (any, error) {
		if dir, ok := f.known(name); ok { // somebody was faster
			return dir, nil
		}
		stats, err := f.ref.ReadDir(f.ctx, gateway.ReadDirRequest{Path: name})
		if err != nil {
			return refDir{}, err
		}
		dir := newRefDir(stats)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.dirs[name] = dir
		return dir, nil
	})
	return v.(refDir), err
}

func newRefDir(stats []*fstypes.Stat) refDir {
	d := refDir{make([]fs.DirEntry, len(stats)), make(map[string]*fstypes.Stat, len(stats))}
	for i, st := range stats {
		info := statInfo{st}
		d.entries[i], d.byName[info.Name()] = fs.FileInfoToDirEntry(info), st
	}
	return d
}

// refFile is an open file or folder. A folder has no data.
type refFile struct {
	fs   *refFS
	name string
	data []byte // what was read ahead
	next int    // where what comes after that begins
	more bool   // there may be such
}

func (f *refFile) Stat() (fs.FileInfo, error) { return f.fs.Stat(f.name) }
func (f *refFile) Close() error               { return nil }

func (f *refFile) Read(p []byte) (int, error) {
	if len(f.data) == 0 && f.more {
		all, err := f.fs.read(f.name, maxFile+1)
		if err != nil {
			return 0, err
		}
		f.data, f.more = all[min(f.next, len(all)):], false
	}
	if len(f.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}

// statInfo makes BuildKit's stat of a file an fs.FileInfo.
type statInfo struct{ st *fstypes.Stat }

func (s statInfo) Name() string       { return path.Base(s.st.Path) }
func (s statInfo) Size() int64        { return s.st.Size }
func (s statInfo) Mode() fs.FileMode  { return fs.FileMode(s.st.Mode) }
func (s statInfo) ModTime() time.Time { return time.Unix(0, s.st.ModTime) }
func (s statInfo) IsDir() bool        { return s.Mode().IsDir() }
func (s statInfo) Sys() any           { return nil }
