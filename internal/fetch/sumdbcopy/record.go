// Package sumdbcopy copies the parts of a checksum database that the go command asks for when it checks a list of
// module versions. With a copy the go command can check them where the database can't be reached. A database's answers
// to a lookup carry the signed head of its tree at that moment, and the tiles that prove the answer depend on the head.
// A copy has one head for all its lookups: then the tiles are a known set, whatever order they are asked for in.
//
// A copy is a folder of these files, which is what a module proxy serves below /sumdb/, as laid down in
// https://go.dev/design/25530-sumdb:
//
//	sumdb/<name>/latest                       the signed head
//	sumdb/<name>/lookup/<module>@<version>    the record of a module version, and the head; escaped by x/mod
//	sumdb/<name>/tile/8/…                     the tiles that prove the records and the earlier heads under the head
//	sumdb/<name>/heads/<size>                 an earlier head, by the number of its records; the go command has no use for it
package sumdbcopy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

const (
	// requests is how many files are asked for at a time.
	requests = 16
	// batch is the number of records that are proved at a time. It bounds the tiles in memory.
	batch = 128
	// maxFile is the greatest size of a file of a checksum database; the largest, the tiles, have 8 kB.
	maxFile = 1 << 20
)

// A Remote is a checksum database that is asked directly or through a proxy.
type Remote interface {
	// Get returns the file at a path of the database, such as /lookup/golang.org/x/mod@v0.40.0 or /tile/8/0/000. The
	// error is fs.ErrNotExist if the database says that it lacks the file. Several goroutines call it.
	Get(ctx context.Context, path string) ([]byte, error)
}

// A Recorder makes copies.
type Recorder struct {
	Key    string  // the database's verifier key, as in GOSUMDB: <name>+<hash>+<key>
	Remote Remote  // asked for what no copy at hand has
	Dir    string  // where the copy is written; what an earlier run left there is used
	Known  []fs.FS // earlier copies, above their folder sumdb; nothing that these have is asked for again

	Found func(module.Version) // is called, by several goroutines, for each version whose record is there; nil for none
}

// A Copy describes the files that a Recorder wrote.
type Copy struct {
	Name  string    // the database's
	Head  tlog.Tree // under which all records are proved
	Files []string  // below the recorder's Dir, with slashes, sorted; others may be there from earlier runs
}

// Record copies the records of module versions and the tiles that prove them. The proof is complete for a go command
// that has never asked the database before, or that last saw the head of one of the known copies. The head is the
// newest of the known copies if it covers all records, so that a copy changes as little as possible; otherwise it is
// the newest that the database sent. For the same versions and the same head the files are the same. A version that the
// database doesn't know is an error.
//
// Every file appears complete or not at all. After an error or a kill the next run goes on from what is there.
func (r Recorder) Record(ctx context.Context, mods []module.Version) (*Copy, error) {
	verifier, err := note.NewVerifier(r.Key)
	if err != nil {
		return nil, fmt.Errorf("the checksum database's key %q: %w: expected NAME+HASH+KEY, as its owner published it", r.Key, err)
	}
	name := verifier.Name()
	if !fs.ValidPath(name) || name == "." {
		return nil, fmt.Errorf("the checksum database's name %q can't be a folder: expected a host, or a host and path", name)
	}
	rec := &recording{Recorder: r, name: name, verifiers: note.VerifierList(verifier), files: map[string]bool{}}
	for _, fsys := range append([]fs.FS{os.DirFS(r.Dir)}, r.Known...) {
		sub, err := fs.Sub(fsys, "sumdb/"+name)
		if err != nil {
			return nil, fmt.Errorf("reading an earlier copy of the checksum database %s: %w", name, err)
		}
		rec.known = append(rec.known, sub)
	}
	if err := rec.run(ctx, mods); err != nil {
		return nil, fmt.Errorf("copying from the checksum database %s: %w", name, err)
	}
	return rec.copy(), nil
}

// A recording is one run of a Recorder.
type recording struct {
	Recorder
	name      string
	verifiers note.Verifiers
	known     []fs.FS         // folders of the database, Dir's first
	head      head            // the common one
	files     map[string]bool // below Dir's folder of the database
}

// A record is the result of a lookup. Its text stays on disk.
type record struct {
	mod  module.Version
	file string // lookup/<module>@<version>
	id   int64
	hash tlog.Hash
	head head // that came with it
}

func (r *recording) run(ctx context.Context, mods []module.Version) error {
	records, err := r.lookUp(ctx, mods)
	if err != nil {
		return err
	}
	earlier, err := r.chooseHead(records)
	if err != nil {
		return err
	}
	if err := r.prove(ctx, records, earlier); err != nil {
		return err
	}
	for _, rec := range records {
		if err := r.rewrite(rec); err != nil {
			return err
		}
	}
	for _, h := range earlier {
		if err := r.write(fmt.Sprintf("heads/%d", h.tree.N), h.signed); err != nil {
			return err
		}
	}
	return r.write("latest", r.head.signed) // last: it says that the copy is complete
}

func (r *recording) copy() *Copy {
	c := &Copy{Name: r.name, Head: r.head.tree}
	for name := range r.files {
		c.Files = append(c.Files, path.Join("sumdb", r.name, name))
	}
	slices.Sort(c.Files)
	return c
}

// lookUp finds the records of the versions, and writes those that it had to fetch. It returns them in the order of the
// tree, so that neighbours are proved together.
func (r *recording) lookUp(ctx context.Context, mods []module.Version) ([]record, error) {
	mods = slices.Clone(mods)
	module.Sort(mods)
	mods = slices.Compact(mods)
	records := make([]record, len(mods))
	unknown := make([]error, len(mods))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(requests)
	for i, m := range mods {
		group.Go(func() error {
			rec, err := r.lookUpOne(ctx, m)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				unknown[i] = fmt.Errorf("it doesn't know %s: name it in GOPRIVATE or GONOSUMDB if it is private", m)
				return nil
			case err != nil:
				return fmt.Errorf("%s: %w", m, err)
			}
			records[i] = rec
			if r.Found != nil {
				r.Found(m)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := errors.Join(unknown...); err != nil {
		return nil, err
	}
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.file, b.file))
	})
	return records, nil
}

func (r *recording) lookUpOne(ctx context.Context, m module.Version) (record, error) {
	file, err := lookupFile(m)
	if err != nil {
		return record{}, err
	}
	data, err := readFirst(r.known, file)
	asked := errors.Is(err, fs.ErrNotExist)
	if asked {
		data, err = r.Remote.Get(ctx, "/"+file)
	}
	if err != nil {
		return record{}, err
	}
	rec, err := r.parse(m, data)
	if err != nil {
		return record{}, err
	}
	rec.mod, rec.file = m, file
	if asked {
		return rec, r.store(file, data)
	}
	return rec, nil
}

// lookupFile returns the name of the file with the lookup of a version.
func lookupFile(m module.Version) (string, error) {
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return "", err
	}
	return "lookup/" + escaped + "@" + version, nil
}

// parse reads the answer to a lookup. It checks only the signature of its head.
func (r *recording) parse(m module.Version, data []byte) (record, error) {
	if len(data) > maxFile {
		return record{}, fmt.Errorf("the answer has more than %d bytes", maxFile)
	}
	id, text, signed, err := tlog.ParseRecord(data)
	if err != nil {
		return record{}, err
	}
	h, err := openHead(signed, r.verifiers)
	if err != nil {
		return record{}, err
	}
	if id >= h.tree.N {
		return record{}, fmt.Errorf("the answer is record %d of a tree that has only %d", id, h.tree.N)
	}
	if prefix := m.Path + " " + m.Version + " h1:"; !bytes.HasPrefix(text, []byte(prefix)) && !bytes.Contains(text, []byte("\n"+prefix)) {
		return record{}, fmt.Errorf("the answer is a record without the line %s…", prefix)
	}
	return record{id: id, hash: tlog.RecordHash(text), head: h}, nil
}

// rewrite writes a lookup with the common head instead of its own.
func (r *recording) rewrite(rec record) error {
	data, err := readFirst(r.known, rec.file)
	if err != nil {
		return fmt.Errorf("%s: %w", rec.mod, err)
	}
	if data, err = withHead(data, r.head.signed); err != nil {
		return fmt.Errorf("%s: %w", rec.mod, err)
	}
	return r.write(rec.file, data)
}

// withHead replaces the head in the answer to a lookup. The record and the head are the database's own, unchanged.
func withHead(lookup, signed []byte) ([]byte, error) {
	id, text, _, err := tlog.ParseRecord(lookup)
	if err != nil {
		return nil, err
	}
	data, err := tlog.FormatRecord(id, text)
	if err != nil {
		return nil, err
	}
	return append(data, signed...), nil
}
