package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// folders adds the folders of the request.
func (c *creation) folders(ctx context.Context) error {
	for _, name := range []string{VulnDBName, FilesName} {
		if c.req.Folders[name] == nil {
			continue
		}
		c.Progress.Begin("add "+name, 0, 0)
		group, err := folderFiles(ctx, c.req.Folders[name])
		if err != nil {
			return fmt.Errorf("adding %s: %w", name, err)
		}
		if len(group) == 0 {
			return fmt.Errorf("adding %s: the folder is empty", name)
		}
		if err := c.addFiles(ctx, name, group); err != nil {
			return err
		}
	}
	if c.req.Folders[RecordedName] == nil {
		return nil
	}
	groups, err := recordedFiles(ctx, c.req.Folders[RecordedName])
	if err != nil {
		return fmt.Errorf("adding %s: %w", RecordedName, err)
	}
	return c.addParts(ctx, RecordedName, nil, groups...)
}

// folderFiles returns all files of a folder. The folder may hold only files and folders.
func folderFiles(ctx context.Context, fsys fs.FS) (group []itemFiles, err error) {
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder (%s): leave it out", name, info.Mode().Type())
		}
		f := file{name, info.Size(), func() (io.ReadCloser, error) { return fsys.Open(name) }}
		item := Item{Kind: KindFile, Name: name, Size: f.size}
		if err := item.check(); err != nil {
			return err
		}
		if item.Digest, err = f.digest(); err != nil {
			return err
		}
		group = append(group, itemFiles{item, []file{f}})
		return nil
	})
	return group, err
}
