package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/progress"
)

// These are the folders and files of an export.
const (
	exportProxy      = "proxy"      // modules, toolchains and the checksum database's word on them, as a GOPROXY folder
	exportToolchains = "toolchains" // an archive of each toolchain, to be unpacked
	exportImages     = "images"     // an archive of each image
	exportTools      = "tools"      // NAME/go.mod and NAME/go.sum of each tool
	exportVulnDB     = "vulndb"     // a Go vulnerability database
	exportFiles      = "files"      // the files that the user added
	exportRecorded   = "recorded"   // what servers answered, as the bundle has it
	exportEnv        = "env"        // settings of the go command, as GOENV and shells read them
	exportList       = "images.txt" // what is in each archive of an image
)

// places maps each of a bundle's own images to the folder for its files.
var places = map[string]string{
	ModulesName: exportProxy, ToolchainName: exportProxy, SumDBName: exportProxy,
	ToolsName: exportTools, VulnDBName: exportVulnDB, FilesName: exportFiles, RecordedName: exportRecorded,
}

// An Export says where Export writes a bundle's files, and what they are checked against.
type Export struct {
	Dir string // the folder to make; it may be there if it is empty
	At  string // absolute path by which the folder will be read; "" for where it is

	Sums gomod.Set // of go.sum files, all of which has to be there
	Key  string    // of the checksum database; "" for none

	Progress progress.Reporter
}

// Export writes a bundle as files that other programs read: a GOPROXY folder with a copy of the checksum database, archives
// of toolchains and images, and settings for the go command. It checks the files after they were written, as Verify
// checks a bundle. The folder gets its name when all files are there and are right.
func (b *Bundle) Export(ctx context.Context, to Export) (count Verified, err error) {
	if b.Since() != "" {
		return count, fmt.Errorf("%s is a delta to the bundle %s: apply it there with 'larder bundle apply', and export that", b.dir, b.Since())
	}
	if err := b.refuseStrangers(); err != nil {
		return count, err
	}
	dir, err := filepath.Abs(to.Dir)
	if err != nil {
		return count, err
	}
	if list, err := os.ReadDir(dir); len(list) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return count, fmt.Errorf("exporting to %s: it is there already, and no empty folder: name another, or remove it", to.Dir)
	}
	folder, err := newExportFolder(dir)
	if err != nil {
		return count, fmt.Errorf("exporting to %s: %w", to.Dir, err)
	}
	if to.At == "" {
		to.At = dir
	}
	count, err = b.exportTo(ctx, folder.temp, to)
	if err != nil {
		return count, errors.Join(err, folder.drop())
	}
	if err := folder.place(); err != nil {
		return count, fmt.Errorf("exporting to %s: %w", to.Dir, errors.Join(err, folder.drop()))
	}
	return count, nil
}

// exportTo is Export into a folder that is there.
func (b *Bundle) exportTo(ctx context.Context, dir string, to Export) (Verified, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Verified{}, err
	}
	e := &exporting{Export: to, v: &verification{b: b, progress: progress.Or(to.Progress), proved: map[gomod.Sum]bool{}}, b: b, root: root}
	err = e.all(ctx)
	return e.v.count, errors.Join(err, root.Close())
}

// exporting is one run of Export.
type exporting struct {
	Export
	v    *verification
	b    *Bundle
	root *os.Root
}

func (e *exporting) all(ctx context.Context) error {
	if err := e.v.blobs(ctx); err != nil {
		return err
	}
	_, parts, err := e.b.manifest(ctx)
	if err != nil {
		return err
	}
	e.v.expect(e.Sums)
	items := itemsOf(parts)
	for name := range places {
		if err := e.files(ctx, name, items[name]); err != nil {
			return err
		}
	}
	e.v.missing()
	sumdb, err := e.sumdb(ctx, parts)
	if err != nil {
		return err
	}
	if err := e.v.result(); err != nil {
		return err // nothing is made of what isn't what it should be
	}
	if err := e.lists(items[ModulesName]); err != nil {
		return err
	}
	if err := e.toolchains(ctx, items[ToolchainName]); err != nil {
		return err
	}
	if err := e.images(ctx, items); err != nil {
		return err
	}
	return e.env(sumdb)
}

// files writes the files of one of the bundle's own images, and checks what was written.
func (e *exporting) files(ctx context.Context, name string, items []Item) error {
	view, err := e.b.steadyView(ctx, name)
	if err != nil {
		return err
	}
	defer view.Close()
	e.v.listed(view, name, items)
	if name == SumDBName { // whose items are whole layers
		e.begin(name, len(view.Names()))
		return each(ctx, view.Names(), func(file string) error { return e.sumdbFile(view, file) })
	}
	e.begin(name, len(items))
	if name == RecordedName {
		return e.recorded(ctx, view, items)
	}
	return each(ctx, items, func(i Item) error { return e.item(view, places[name], i) })
}

// begin says that the files of an image are written, if it has some.
func (e *exporting) begin(name string, items int) {
	if items > 0 {
		e.v.progress.Begin("export "+name, items, 0)
	}
}

// recorded writes the recorded answers of servers, one by one: several of them may have one body, and all share one
// list.
func (e *exporting) recorded(ctx context.Context, view *View, items []Item) error {
	if len(items) > 0 {
		e.v.recorded(view, items)
	}
	for _, i := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.item(view, exportRecorded, i); err != nil {
			return err
		}
	}
	return nil
}

// item writes the files of an item, and checks them where they are.
func (e *exporting) item(view *View, folder string, i Item) (err error) {
	names, err := i.files()
	if err != nil {
		return nil // it was told
	}
	written := &View{entries: map[string]*entry{}}
	defer func() { err = errors.Join(err, written.Close()) }()
	for _, name := range names {
		if from, err := view.find("open", name); err != nil || from.layer == nil {
			continue // the check tells it
		}
		to := path.Join(folder, name)
		if _, err := e.root.Stat(to); err == nil && i.Kind == KindAnswer {
			// Another answer has it, too.
		} else if err := e.copy(view, name, to); err != nil {
			return err
		}
		f, err := e.root.Open(to)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return errors.Join(err, f.Close())
		}
		written.readers = append(written.readers, blobFile{f, info.Size()})
		written.entries[name] = &entry{name: name, layer: blobFile{f, info.Size()}, size: info.Size()}
	}
	e.v.item(written, i)
	return nil
}

// copy copies a file of a view. If the file is there already, that is an error: two items would share it.
func (e *exporting) copy(view *View, name, to string) error {
	r, err := view.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	return e.write(to, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// write makes a file with the content that a function writes.
func (e *exporting) write(name string, write func(w io.Writer) error) error {
	if err := e.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	f, err := e.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s has two things that would be the file %s: don't use this bundle", e.b.dir, name)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
