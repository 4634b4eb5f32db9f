// Package cacheprog is a build cache for the go command, which starts it through GOCACHEPROG. It reads folders that
// are layers of images, and so shared and read-only, before the one folder where it writes.
package cacheprog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// idSize is the length of action and output IDs; both are SHA-256 sums.
const idSize = sha256.Size

// A Dir is a folder laid out as GOCACHE, so that a go command can use the same folder without this package:
// xx/<action>-a is a line that names an action's output, xx/<output>-d is the output, xx are an ID's first digits.
type Dir string

// An Entry is what a Dir holds for an action.
type Entry struct {
	OutputID []byte
	Size     int64
	Time     time.Time // when it was put
	Path     string    // the data file
}

// errMismatch says that data are not what their entry promises.
var errMismatch = errors.New("the data do not match their entry")

// Get returns the entry of an action. Anything wrong with it, such as a half-written file, is a miss: the go command
// then makes the output again. With check, it reads the data too and has them match the output ID; without, only their
// size has to match. Get changes nothing in d.
func (d Dir) Get(action []byte, check bool) (Entry, bool) {
	if len(action) != idSize {
		return Entry{}, false
	}
	e, ok := readEntry(d.file(action, "a"), action)
	if !ok {
		return Entry{}, false
	}
	e.Path = d.file(e.OutputID, "d")
	info, err := os.Lstat(e.Path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != e.Size {
		return Entry{}, false
	}
	if check && !hasSum(e.Path, e.OutputID) {
		return Entry{}, false
	}
	return e, true
}

// Put stores an action's output and returns the path of its data file. Every file gets its name only when it is
// complete, and the entry comes after its data: so other processes may put and get at the same time, and whoever is
// killed halfway leaves nothing that Get would return. What it may leave has a name that the go command trims.
func (d Dir) Put(action, output []byte, size int64, body io.Reader) (path string, err error) {
	return d.put(action, output, size, body, time.Time{})
}

// Copy copies an action's entry from another folder, in the way of Put, and fails if its data are not right. Where
// stamp isn't zero, it is the time in the entry and of the files, so that equal entries give equal layers.
func (d Dir) Copy(from Dir, action []byte, stamp time.Time) error {
	e, ok := from.Get(action, false)
	if !ok {
		return fmt.Errorf("copying action %x: %s has no such entry", action, from)
	}
	return d.copyEntry(action, e, stamp)
}

func (d Dir) copyEntry(action []byte, e Entry, stamp time.Time) error {
	f, err := os.Open(e.Path)
	if err != nil {
		return fmt.Errorf("copying action %x: %w: %w", action, errMismatch, err)
	}
	defer f.Close()
	_, err = d.put(action, e.OutputID, e.Size, f, stamp)
	return err
}

func (d Dir) put(action, output []byte, size int64, body io.Reader, stamp time.Time) (string, error) {
	if err := checkIDs(action, output, size); err != nil {
		return "", err
	}
	t, err := d.newTemp(output, "d")
	if err != nil {
		return "", fmt.Errorf("storing output %x: %w", output, err)
	}
	defer t.discard()
	if err := t.fill(output, size, body); err != nil {
		return "", fmt.Errorf("storing output %x: %w", output, err)
	}
	if err := t.commit(stamp); err != nil {
		return "", fmt.Errorf("storing output %x: %w", output, err)
	}
	return t.name, d.writeEntry(action, output, size, stamp)
}

// writeEntry makes the entry of an action whose data are in place.
func (d Dir) writeEntry(action, output []byte, size int64, stamp time.Time) error {
	t, err := d.newTemp(action, "a")
	if err != nil {
		return fmt.Errorf("storing the entry of action %x: %w", action, err)
	}
	defer t.discard()
	at := stamp
	if at.IsZero() {
		at = time.Now()
	}
	if _, err := io.WriteString(t, entryLine(action, output, size, at)); err != nil {
		return fmt.Errorf("storing the entry of action %x: %w", action, err)
	}
	if err := t.commit(stamp); err != nil {
		return fmt.Errorf("storing the entry of action %x: %w", action, err)
	}
	return nil
}

// actions returns the actions that d has an entry of, those whose IDs begin with a digit of a pattern, sorted.
func (d Dir) actions(digit string) (ids [][]byte, err error) {
	files, err := filepath.Glob(filepath.Join(string(d), digit+"[0-9a-f]", "*-a"))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", d, err)
	}
	for _, file := range files {
		id, err := hex.DecodeString(strings.TrimSuffix(filepath.Base(file), "-a"))
		if err == nil && len(id) == idSize {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// file returns the path of an ID's file. IDs are written in hex, so they can't lead out of d.
func (d Dir) file(id []byte, kind string) string {
	return filepath.Join(d.folder(id), hex.EncodeToString(id)+"-"+kind)
}

func (d Dir) folder(id []byte) string { return filepath.Join(string(d), hex.EncodeToString(id[:1])) }

func checkIDs(action, output []byte, size int64) error {
	if len(action) != idSize || len(output) != idSize {
		return fmt.Errorf("the IDs of action and output have %d and %d bytes: expected %d", len(action), len(output), idSize)
	}
	if size < 0 {
		return fmt.Errorf("the size %d of output %x is negative", size, output)
	}
	return nil
}

// entrySize is the length of an entry: v1 <action> <output> <size> <time>, the numbers padded to 20 characters.
const entrySize = len("v1 ") + 2*idSize + 1 + 2*idSize + 1 + 20 + 1 + 20 + 1

// readEntry reads an entry as strictly as the go command does: it must be the one line, in full.
func readEntry(path string, action []byte) (e Entry, ok bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(entrySize) {
		return Entry{}, false
	}
	line, err := os.ReadFile(path)
	if err != nil {
		return Entry{}, false
	}
	return parseEntry(line, action)
}

// entryLine is the text of an entry.
func entryLine(action, output []byte, size int64, at time.Time) string {
	return fmt.Sprintf("v1 %x %x %20d %20d\n", action, output, size, at.UnixNano())
}

// parseEntry reads the line that entryLine writes.
func parseEntry(line, action []byte) (e Entry, ok bool) {
	if len(line) != entrySize {
		return Entry{}, false
	}
	rest, ok := bytes.CutPrefix(line, fmt.Appendf(nil, "v1 %x ", action))
	if !ok || rest[2*idSize] != ' ' || rest[2*idSize+21] != ' ' || rest[2*idSize+42] != '\n' {
		return Entry{}, false
	}
	output, err1 := hex.DecodeString(string(rest[:2*idSize]))
	size, err2 := number(rest[2*idSize+1:])
	stamp, err3 := number(rest[2*idSize+22:])
	return Entry{OutputID: output, Size: size, Time: time.Unix(0, stamp)}, errors.Join(err1, err2, err3) == nil
}

// number reads a padded number; bit size 63 leaves no room for a sign.
func number(field []byte) (int64, error) {
	n, err := strconv.ParseUint(strings.TrimLeft(string(field[:20]), " "), 10, 63)
	return int64(n), err
}

func hasSum(path string, sum []byte) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return err == nil && bytes.Equal(h.Sum(nil), sum)
}

// seal gives d and the folders in it mode 0755, whatever the umask, and one time. It comes last, since each file made
// in a folder changes the folder's time.
func (d Dir) seal(stamp time.Time) error {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	folders := []string{string(d)}
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, filepath.Join(string(d), e.Name()))
		}
	}
	for _, folder := range folders {
		err = errors.Join(err, os.Chmod(folder, 0o755), os.Chtimes(folder, stamp, stamp))
	}
	return err
}
