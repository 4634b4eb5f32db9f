package gomod

import (
	"crypto/sha256"
	"encoding/binary"
)

// Shard counts: a set of fewer zips than minSharded is one layer, since each layer costs two steps.
const (
	minSharded = 16
	zipShards  = 8
)

// Shards parts a set into a bounded number of sets, so that a new or changed module changes one or two of them: one of
// all go.mod files, which are small and of which many change together, and the zips by their module paths. A small set is
// left whole. None of the shards is empty, but for those of an empty set, which is its only one.
func (s Set) Shards() []Set {
	if len(s.Zips()) < minSharded {
		return []Set{s}
	}
	parts := make([]Set, zipShards+1)
	for _, sum := range s.sums {
		i := 0
		if !sum.GoMod {
			hash := sha256.Sum256([]byte(sum.Path))
			i = 1 + int(binary.BigEndian.Uint64(hash[:])%zipShards)
		}
		parts[i].sums = append(parts[i].sums, sum)
	}
	var shards []Set
	for _, p := range parts {
		if !p.Empty() {
			shards = append(shards, p)
		}
	}
	return shards
}
