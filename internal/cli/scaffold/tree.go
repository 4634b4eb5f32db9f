package scaffold

import (
	"bytes"
	"io/fs"
	"path"
	"sync"
)

// maxKept is the greatest number of bytes of files that a tree keeps. Files beyond that are read again.
const maxKept = 256 << 20

// A cachedTree is a read-only tree that lists each folder and reads each source file only once, because many programs
// are compiled from the same files. Several goroutines may read it at once.
type cachedTree struct {
	fs.FS
	mu    sync.Mutex // guards what follows; not held while the tree is read
	files map[string]*cachedFile
	dirs  map[string]*cachedDir
	kept  int64
}

type cachedFile struct {
	once sync.Once
	data []byte
	err  error
}

type cachedDir struct {
	once    sync.Once
	entries []fs.DirEntry
	byName  map[string]fs.FileInfo
	err     error
}

func newTree(under fs.FS) *cachedTree {
	return &cachedTree{FS: under, files: map[string]*cachedFile{}, dirs: map[string]*cachedDir{}}
}

// ReadDir implements fs.ReadDirFS.
func (t *cachedTree) ReadDir(name string) ([]fs.DirEntry, error) {
	d := t.dir(name)
	return d.entries, d.err
}

func (t *cachedTree) dir(name string) *cachedDir {
	t.mu.Lock()
	d := t.dirs[name]
	if d == nil {
		d = new(cachedDir)
		t.dirs[name] = d
	}
	t.mu.Unlock()
	d.once.Do(func() { d.read(t.FS, name) })
	return d
}

func (d *cachedDir) read(tree fs.FS, name string) {
	var list []fs.DirEntry
	list, d.err = fs.ReadDir(tree, name)
	d.byName = make(map[string]fs.FileInfo, len(list))
	for _, e := range list {
		if fi, err := e.Info(); err == nil { // else it is gone since
			d.entries = append(d.entries, fs.FileInfoToDirEntry(fi))
			d.byName[e.Name()] = fi
		}
	}
}

// Stat implements fs.StatFS. It uses the listing of the folder, except for symbolic links.
func (t *cachedTree) Stat(name string) (fs.FileInfo, error) {
	if name == "." || !fs.ValidPath(name) {
		return fs.Stat(t.FS, name)
	}
	d := t.dir(path.Dir(name))
	fi, ok := d.byName[path.Base(name)]
	switch {
	case ok && fi.Mode()&fs.ModeSymlink == 0:
		return fi, nil
	case ok || d.err != nil:
		return fs.Stat(t.FS, name)
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// ReadFile implements fs.ReadFileFS. The caller must not change the result.
func (t *cachedTree) ReadFile(name string) ([]byte, error) {
	t.mu.Lock()
	f := t.files[name]
	if f == nil && t.kept < maxKept {
		f = new(cachedFile)
		t.files[name] = f
	}
	t.mu.Unlock()
	if f == nil {
		return fs.ReadFile(t.FS, name)
	}
	f.once.Do(func() {
		f.data, f.err = fs.ReadFile(t.FS, name)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.kept += int64(len(f.data))
	})
	return f.data, f.err
}

// Open implements fs.FS. It reads source files through the cache.
func (t *cachedTree) Open(name string) (fs.File, error) {
	fi, err := t.Stat(name)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxSource {
		return t.FS.Open(name)
	}
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &openFile{fi, bytes.NewReader(data)}, nil
}

// An openFile is a file whose content was read already.
type openFile struct {
	info fs.FileInfo
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }
