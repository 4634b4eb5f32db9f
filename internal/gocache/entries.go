package gocache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Bounds on what Outputs reads. A program of 5000 packages has 20,000 entries in 2 GB.
const (
	maxEntries = 200_000
	maxBytes   = 16 << 30
)

// Outputs returns the output of each action that a file system, which is laid out as GOCACHE, has an entry of. It refuses
// one that has anything but entries and their outputs, or more of them than any build needs.
func Outputs(fsys fs.FS) (map[string]string, error) {
	entries, sizes := map[string]entry{}, map[string]int64{}
	var total int64
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		id, kind, ok := parseName(name)
		if !ok || !info.Mode().IsRegular() {
			return fmt.Errorf("%.200q is no file of a GOCACHE", name)
		}
		if total += info.Size(); total > maxBytes || len(entries)+len(sizes) > 2*maxEntries {
			return fmt.Errorf("it has more than %d compiled packages, or more than %d bytes", maxEntries, int64(maxBytes))
		}
		if kind == "d" {
			sizes[id] = info.Size()
			return nil
		}
		entries[id], err = readEntry(fsys, name, id, info.Size())
		return err
	})
	if err != nil {
		return nil, err
	}
	outputs, used := map[string]string{}, map[string]bool{}
	for action, e := range entries {
		if size, ok := sizes[e.output]; !ok || size != e.size {
			return nil, fmt.Errorf("the entry %s names an output of %d bytes that isn't there", fileName(action, "a"), e.size)
		}
		outputs[action], used[e.output] = e.output, true
	}
	for output := range sizes {
		if !used[output] {
			return nil, fmt.Errorf("no entry names the output %s", fileName(output, "d"))
		}
	}
	return outputs, nil
}

func readEntry(fsys fs.FS, name, action string, size int64) (entry, error) {
	if size != int64(entrySize) {
		return entry{}, fmt.Errorf("the entry %s has %d bytes: expected %d", name, size, entrySize)
	}
	line, err := fs.ReadFile(fsys, name)
	if err != nil {
		return entry{}, err
	}
	e, ok := parseEntry(line, action)
	if !ok {
		return entry{}, fmt.Errorf("the entry %s isn't one that a go command would read", name)
	}
	return e, nil
}

// CheckOutputs compares each output of Outputs with its digest, which is its ID.
func CheckOutputs(ctx context.Context, fsys fs.FS, outputs map[string]string) error {
	seen := map[string]bool{}
	for _, output := range outputs {
		if seen[output] {
			continue
		}
		seen[output] = true
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		f, err := fsys.Open(fileName(output, "d"))
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != output {
			return fmt.Errorf("the output %s has the SHA-256 %s", fileName(output, "d"), got)
		}
	}
	return nil
}

// EntryName returns the name of the file of an action's entry.
func EntryName(action string) string { return fileName(action, "a") }

func fileName(id, kind string) string { return path.Join(id[:2], id+"-"+kind) }

// parseName reads the name of a file: which kind it is of, and of which ID.
func parseName(name string) (id, kind string, ok bool) {
	id, kind, ok = strings.Cut(path.Base(name), "-")
	data, err := hex.DecodeString(id)
	ok = ok && err == nil && len(data) == idSize && hex.EncodeToString(data) == id && (kind == "a" || kind == "d")
	return id, kind, ok && name == fileName(id, kind)
}
