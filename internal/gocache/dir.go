// Package gocache copies compiled packages between folders that are laid out as the go command's GOCACHE. It exists
// because a layer of an image travels with a build's cache but is read-only, while a go command needs a cache mount,
// which is writable. So packages are copied from one to the other, and back.
package gocache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Dir is a folder laid out as GOCACHE (cmd/go/internal/cache): xx/<action>-a is a line that names an action's output,
// xx/<output>-d is the output; xx are an ID's first digits.
//
// Nothing in a Dir vouches for which action an output belongs to. Whoever writes a Dir decides what is linked from it.
type Dir string

// idSize is the length of action and output IDs; both are SHA-256 sums.
const idSize = sha256.Size

// entrySize is the length of an entry: v1 <action> <output> <size> <time>, the numbers padded to 20 characters.
const entrySize = len("v1 ") + 2*idSize + 1 + 2*idSize + 1 + 20 + 1 + 20 + 1

// An entry is the record of an action in a Dir.
type entry struct {
	action, output string // in hex
	size           int64  // of the output, in bytes
}

// read returns the entry of an action. If anything is wrong with it, such as a half-written file or an output of
// another size, ok is false, as in the go command.
func (d Dir) read(action string) (e entry, ok bool) {
	file := d.file(action, "a")
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(entrySize) {
		return entry{}, false
	}
	line, err := os.ReadFile(file)
	if err != nil {
		return entry{}, false
	}
	e, ok = parseEntry(line, action)
	return e, ok && d.hasOutput(e)
}

// hasOutput reports whether the output of an entry is there and is a file. A program that 'go run' keeps is a folder,
// and isn't copied.
func (d Dir) hasOutput(e entry) bool {
	info, err := os.Lstat(d.file(e.output, "d"))
	return err == nil && info.Mode().IsRegular() && info.Size() == e.size
}

// actions returns the actions of the entries in one of d's 256 folders.
func (d Dir) actions(folder string) (map[string]bool, error) {
	dir, err := os.Open(filepath.Join(string(d), folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, name := range names {
		action, ok := strings.CutSuffix(name, "-a")
		if id, err := hex.DecodeString(action); ok && err == nil && len(id) == idSize {
			found[action] = true
		}
	}
	return found, nil
}

// usedAfter reports whether the go command used an entry after a time.
func (d Dir) usedAfter(action string, at time.Time) bool {
	info, err := os.Lstat(d.file(action, "a"))
	return err == nil && info.ModTime().After(at)
}

// folders returns the names of a Dir's 256 folders.
func folders() (names []string) {
	for i := range 256 {
		names = append(names, fmt.Sprintf("%02x", i))
	}
	return names
}

// file returns the path of an ID's file.
func (d Dir) file(id, kind string) string {
	return filepath.Join(string(d), id[:2], id+"-"+kind)
}

// line returns the text of an entry.
func (e entry) line(at time.Time) string {
	return fmt.Sprintf("v1 %s %s %20d %20d\n", e.action, e.output, e.size, at.UnixNano())
}

// parseEntry reads the line that entry.line writes, as strictly as the go command does.
func parseEntry(line []byte, action string) (e entry, ok bool) {
	if len(line) != entrySize {
		return entry{}, false
	}
	rest, ok := bytes.CutPrefix(line, []byte("v1 "+action+" "))
	if !ok || rest[2*idSize] != ' ' || rest[2*idSize+21] != ' ' || rest[2*idSize+42] != '\n' {
		return entry{}, false
	}
	output := string(rest[:2*idSize])
	id, err1 := hex.DecodeString(output)
	size, err2 := number(rest[2*idSize+1:])
	_, err3 := number(rest[2*idSize+22:])
	// An ID in capitals would be another file's name.
	return entry{action, output, size}, errors.Join(err1, err2, err3) == nil && hex.EncodeToString(id) == output
}

// number reads a padded number; bit size 63 leaves no room for a sign.
func number(field []byte) (int64, error) {
	n, err := strconv.ParseUint(strings.TrimLeft(string(field[:20]), " "), 10, 63)
	return int64(n), err
}
