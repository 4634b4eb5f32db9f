package builder

import (
	"context"
	"errors"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestSharing walks through two builds at a time on one state folder: the
// second uses the first's builder, the first doesn't leave it in the lurch,
// and a third that comes while the first is leaving takes the folder over.
func TestSharing(t *testing.T) {
	testkit.NeedContainers(t)
	state, told := stateDir(t), newNotices()
	first, err := Connect(t.Context(), Options{Address: Embedded, StateDir: state, Notice: told})
	require.NoError(t, err)
	second := start(t, state)
	checkBuild(t, first, "shared")
	require.NotZero(t, checkBuild(t, second, "shared"), "one cache")

	closed := make(chan error, 1)
	go func() { closed <- first.Close() }()
	<-told.came
	require.Contains(t, told.String(), "waiting for another larder build that uses "+state)
	checkBuild(t, second, "while the first waits")

	connected := make(chan *Builder, 1)
	go func() {
		third, err := Connect(t.Context(), Options{Address: Embedded, StateDir: state})
		connected <- third
		closed <- err
	}()
	require.Empty(t, closed)
	require.NoError(t, second.Close())
	third := <-connected
	require.NoError(t, <-closed)
	require.NoError(t, <-closed)
	require.NotZero(t, checkBuild(t, third, "shared"))
	require.NoError(t, third.Close())
	checkNothingLeft(t, state)
}

// TestWaitEndsWithContext interrupts a wait for an owner that never answers.
func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	testkit.NeedContainers(t)
	state, told := stateDir(t), newNotices()
	f, err := openFolder(state)
	require.NoError(t, err)
	defer f.Close()
	locked, err := f.owner.TryLock()
	require.NoError(t, err)
	require.True(t, locked)

	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	go func() { <-told.came; cancel(interrupted) }()
	_, err = Connect(ctx, Options{Address: Embedded, StateDir: state, Notice: told})
	require.ErrorIs(t, err, interrupted)
}
