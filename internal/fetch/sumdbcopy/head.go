package sumdbcopy

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A head is the signed head of a database's tree.
type head struct {
	tree   tlog.Tree
	signed []byte
}

func (h head) newer(other head) bool { return h.tree.N > other.tree.N }

// openHead checks a head's signature.
func openHead(signed []byte, verifiers note.Verifiers) (head, error) {
	n, err := note.Open(signed, verifiers)
	if err != nil {
		return head{}, fmt.Errorf("the signed tree head: %w", err)
	}
	tree, err := tlog.ParseTree([]byte(n.Text))
	if err != nil {
		return head{}, fmt.Errorf("the signed tree head: %w", err)
	}
	return head{tree, signed}, nil
}

// chooseHead sets the head that covers all records, and returns the other heads of the known copies, oldest first.
func (r *recording) chooseHead(records []record) (earlier []head, err error) {
	all, err := r.knownHeads()
	if err != nil {
		return nil, err
	}
	var newest, told head
	if len(all) > 0 {
		newest = all[len(all)-1]
	}
	last := int64(-1)
	for _, rec := range records {
		last = max(last, rec.id)
		if rec.head.newer(told) {
			told = rec.head
		}
	}
	r.head = newest
	if last >= newest.tree.N {
		r.head = told
	}
	if r.head.signed == nil {
		return nil, errors.New("there is no module version to look up: name some, or leave the database out")
	}
	for _, h := range all {
		if h.tree != r.head.tree {
			earlier = append(earlier, h)
		}
	}
	return earlier, nil
}

// knownHeads returns the heads of the known copies, including the earlier heads that these list, oldest first.
func (r *recording) knownHeads() (all []head, err error) {
	for _, fsys := range r.known {
		names, err := fs.Glob(fsys, "heads/*")
		if err != nil {
			return nil, err
		}
		for _, name := range append(names, "latest") {
			signed, err := readFile(fsys, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			h, err := openHead(signed, r.verifiers)
			if err != nil {
				return nil, fmt.Errorf("%s of an earlier copy: %w: remove that copy", name, err)
			}
			all = append(all, h)
		}
	}
	slices.SortStableFunc(all, func(a, b head) int { return cmp.Compare(a.tree.N, b.tree.N) })
	return slices.CompactFunc(all, func(a, b head) bool { return a.tree == b.tree }), nil
}
