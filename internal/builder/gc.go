package builder

import (
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/disk"
)

// The embedded builder's cache is kept to MaxCacheBytes or MaxCachePercent of
// the disk, whichever is less, though never to less than MinCacheBytes, which
// a toolchain, a module layer and a compile cache need. Collection runs a
// second after the builder starts, and between builds, so one build may exceed
// the limit until the next.
const (
	MaxCacheBytes   = 20e9
	MaxCachePercent = 10
	MinCacheBytes   = 2e9
)

// Contexts and checkouts are cheap to send again; past this size they go first
// once unused for contextKeep. Anything goes once unused for cacheKeep.
const (
	contextBytes = 1e9
	contextKeep  = 48 * time.Hour
	cacheKeep    = 60 * 24 * time.Hour
)

// cacheLimit is the limit in bytes for a state folder on root's disk.
func cacheLimit(root string) int64 {
	stat, err := disk.GetDiskStat(root)
	if err != nil {
		return MinCacheBytes
	}
	return limitFor(stat.Total)
}

func limitFor(diskBytes int64) int64 {
	return max(MinCacheBytes, min(MaxCacheBytes, diskBytes/100*MaxCachePercent))
}

// gcPolicy is applied rule by rule, until the cache is below the limit.
func gcPolicy(limit int64) []client.PruneInfo {
	return []client.PruneInfo{
		{Filter: []string{"type==source.local", "type==source.git.checkout"}, KeepDuration: contextKeep, MaxUsedSpace: contextBytes},
		{KeepDuration: cacheKeep, MaxUsedSpace: limit},
		{MaxUsedSpace: limit},
		{All: true, MaxUsedSpace: limit}, // internal and frontend records too
	}
}
