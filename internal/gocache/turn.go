package gocache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/larder-build/larder/internal/atomicfile"
)

// turnFile is the lock of a Dir, and turnsFile has the keys that had their turn. The go command ignores both.
const (
	turnFile  = "larder.lock"
	turnsFile = "larder.turns"
	maxTurns  = 64 // keys that are remembered
)

// Turn lets one process at a time compile packages that others would compile too. It waits until no other process has
// its turn. It returns at once for a key that had its turn before, because the shared packages are then compiled. With
// an empty key it always waits. done ends the turn; with good, the key has had it. The kernel ends the turn of a
// process that is killed.
//
// Where there can be no lock, as in a folder that can't be written, everybody has a turn: to compile something twice does
// no harm.
func (d Dir) Turn(ctx context.Context, key string) (done func(good bool), err error) {
	nothing := func(bool) {}
	if d.hadTurn(key) {
		return nothing, nil
	}
	lock := flock.New(filepath.Join(string(d), turnFile), flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o666))
	locked, err := lock.TryLockContext(ctx, 20*time.Millisecond)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("waiting for another build that compiles the same: %w", context.Cause(ctx))
	case err != nil || !locked:
		return nothing, nil
	case d.hadTurn(key):
		lock.Close()
		return nothing, nil
	}
	return func(good bool) {
		if good && key != "" {
			d.remember(key)
		}
		lock.Close()
	}, nil
}

func (d Dir) turns() []string {
	data, err := os.ReadFile(filepath.Join(string(d), turnsFile))
	if err != nil || len(data) > 1<<16 {
		return nil
	}
	return strings.Fields(string(data))
}

func (d Dir) hadTurn(key string) bool { return key != "" && slices.Contains(d.turns(), key) }

// remember adds a key. If that fails, the next process with the key waits once more.
func (d Dir) remember(key string) {
	keys := append(d.turns(), key)
	keys = keys[max(0, len(keys)-maxTurns):]
	_ = atomicfile.Write(filepath.Join(string(d), turnsFile), []byte(strings.Join(keys, "\n")+"\n"))
}
