package gomod

import (
	"crypto/sha256"
	"encoding/binary"
)

// shardCount returns the number of shards for a set with so many zips. One more layer costs a first build 0.2 s of CPU
// for its container. On the other hand a new dependency unpacks one shard anew, which takes 0.03 s for each zip.
func shardCount(zips int) uint64 {
	switch {
	case zips < 16:
		return 1
	case zips < 128:
		return 4
	}
	return 8
}

// Shards splits a set by module paths into a limited number of sets. So a new or changed module changes only its own
// shard, and those of modules that it brings along. A small set is left whole. None of the shards is empty, but for
// those of an empty set, which is its only one.
func (s Set) Shards() []Set {
	count := shardCount(len(s.Zips()))
	if count == 1 {
		return []Set{s}
	}
	parts := make([]Set, count)
	for _, sum := range s.sums {
		hash := sha256.Sum256([]byte(sum.Path))
		i := binary.BigEndian.Uint64(hash[:]) % count
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
