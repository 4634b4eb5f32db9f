package builder

import (
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/disk"
)

// Limits of the embedded builder's cache. It keeps at most MaxCacheBytes or
// MaxCachePercent of the disk, whichever is less, but always up to
// MinCacheBytes, which a toolchain, a module layer and a compile cache need.
// Garbage collection runs a second after the builder starts, and between
// builds. So one build may exceed the limit.
const (
	MaxCacheBytes   = 20e9
	MaxCachePercent = 10
	MinCacheBytes   = 2e9
)

// Limits for parts of the cache. Contexts and checkouts are cheap to send again. If they are larger than contextBytes,
// those that were unused for contextKeep are removed first. Then anything is removed that was unused for cacheKeep.
const (
	contextBytes = 1e9
	contextKeep  = 48 * time.Hour
	cacheKeep    = 60 * 24 * time.Hour
)

// cacheLimit returns the cache's limit in bytes, for a state folder on root's disk.
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

// gcPolicy returns rules that are applied in order, until the cache is below the limit.
func gcPolicy(limit int64) []client.PruneInfo {
	return []client.PruneInfo{
		{Filter: []string{"type==source.local", "type==source.git.checkout"}, KeepDuration: contextKeep, MaxUsedSpace: contextBytes},
		{KeepDuration: cacheKeep, MaxUsedSpace: limit},
		{MaxUsedSpace: limit},
		{All: true, MaxUsedSpace: limit}, // internal and frontend records too
	}
}
