package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"
)

// ReadFolder reads the index of a recording.
func ReadFolder(fsys fs.FS) (Index, error) {
	f, err := fsys.Open(IndexName)
	if err != nil {
		return Index{}, fmt.Errorf("reading a recording: %w", err)
	}
	x, err := ReadIndex(f)
	return x, errors.Join(err, f.Close())
}

// EachAnswer reads the index of a recording and calls each for each answer, in the order of the index. It holds one answer
// in memory at a time. An error of each ends it.
func EachAnswer(fsys fs.FS, each func(Answer) error) error {
	f, err := fsys.Open(IndexName)
	if err != nil {
		return fmt.Errorf("reading a recording: %w", err)
	}
	_, err = scan(f, each)
	return errors.Join(err, f.Close())
}

// Join makes one recording of several, whose bodies it reads in place. It is an error if two of them have different
// answers to the same request.
func Join(list ...fs.FS) (fs.FS, error) {
	j := joined{list: list}
	var all Index
	for _, fsys := range list {
		x, err := ReadFolder(fsys)
		if err != nil {
			return nil, err
		}
		all.Answers = append(all.Answers, x.Answers...)
		all.Platforms = append(all.Platforms, x.Platforms...)
	}
	slices.Sort(all.Platforms)
	all.Platforms = slices.Compact(all.Platforms)
	slices.SortStableFunc(all.Answers, compareAnswers)
	for i := 1; i < len(all.Answers); i++ {
		a, b := all.Answers[i-1], all.Answers[i]
		if compareAnswers(a, b) == 0 && (a.Digest != b.Digest || a.Status != b.Status) {
			return nil, fmt.Errorf("the recordings disagree on the answer to %s: make one of them anew", a.URL)
		}
	}
	all.Answers = slices.CompactFunc(all.Answers, func(a, b Answer) bool { return compareAnswers(a, b) == 0 })
	var out bytes.Buffer
	if err := all.Write(&out); err != nil {
		return nil, err
	}
	j.index = out.Bytes()
	return j, nil
}

// joined is a folder with the files of several recordings.
type joined struct {
	index []byte
	list  []fs.FS
}

// Open implements fs.FS.
func (j joined) Open(name string) (fs.File, error) {
	if name == IndexName {
		return indexFile{bytes.NewReader(j.index)}, nil
	}
	for _, fsys := range j.list {
		if f, err := fsys.Open(name); !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// An indexFile is an index in memory, as a file.
type indexFile struct{ *bytes.Reader }

func (f indexFile) Stat() (fs.FileInfo, error) { return indexInfo{f.Reader.Size()}, nil }
func (f indexFile) Close() error               { return nil }

type indexInfo struct{ size int64 }

func (i indexInfo) Name() string       { return IndexName }
func (i indexInfo) Size() int64        { return i.size }
func (i indexInfo) Mode() fs.FileMode  { return 0o444 }
func (i indexInfo) ModTime() time.Time { return time.Time{} }
func (i indexInfo) IsDir() bool        { return false }
func (i indexInfo) Sys() any           { return nil }

var _ io.ReadSeeker = indexFile{}
