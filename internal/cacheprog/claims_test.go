package cacheprog

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Of two go commands that miss the same entry at once, the first makes it and the second waits for that.
func TestClaim(t *testing.T) {
	upper := Dir(t.TempDir())
	first, second := start(t, t.Context(), &Server{Upper: upper}), start(t, t.Context(), &Server{Upper: upper})
	require.Equal(t, response{Miss: true}, first.get("compiled"))
	answer := make(chan response)
	go func() { answer <- second.get("compiled") }()
	require.Equal(t, response{Miss: true}, first.get("other"), "a claim is of one action")
	require.Equal(t, response{DiskPath: upper.file(id("text"), "d")}, first.put("compiled", "text"))
	hit(t, <-answer, upper, "text")
	first.close()
	second.close()
}

// What a go command has claimed and not put is free once that ends, however it does.
func TestClaimEnds(t *testing.T) {
	for name, end := range map[string]func(*client, context.CancelFunc){
		"closed":    func(c *client, _ context.CancelFunc) { c.close() },
		"input":     func(c *client, _ context.CancelFunc) { c.in.Close() },
		"cancelled": func(_ *client, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			upper := Dir(t.TempDir())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first, second := start(t, ctx, &Server{Upper: upper}), start(t, t.Context(), &Server{Upper: upper})
			require.Equal(t, response{Miss: true}, first.get("failed"))
			answer := make(chan response)
			go func() { answer <- second.get("failed") }()
			end(first, cancel)
			require.Equal(t, response{Miss: true}, <-answer)
			second.close()
		})
	}
}

// A go command that is killed has no claim any more.
func TestClaimOfKilled(t *testing.T) {
	upper := Dir(t.TempDir())
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), serverEnv+`={"Upper":"`+string(upper)+`"}`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = in.Write([]byte(message(request{ID: 1, Command: "get", ActionID: id("killed")}, "")))
	require.NoError(t, err)
	claims := upper.claims()
	defer claims.close()
	require.Eventually(t, func() bool {
		free := claims.take(id("killed"))
		if free {
			claims.release(id("killed"))
		}
		return !free
	}, testkit.Patience, time.Millisecond, "it is claimed")
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.True(t, claims.take(id("killed")))
}

// A session that has waited in vain doesn't wait again.
func TestClaimPatience(t *testing.T) {
	upper := Dir(t.TempDir())
	other := upper.claims()
	defer other.close()
	require.True(t, other.take(id("failed")))
	require.True(t, other.take(id("fails")))

	var clock time.Time
	step := patience / 3
	s := &session{ctx: t.Context(), waiting: t.Context(), upper: upper, claims: upper.claims(), busy: make(chan struct{}, 1), now: func() time.Time {
		clock = clock.Add(step)
		return clock
	}}
	defer s.claims.close()
	s.busy <- struct{}{}
	_, ok := s.await(id("failed"))
	require.False(t, ok)
	require.Greater(t, clock.Sub(time.Time{}), patience)
	step = 0
	_, ok = s.await(id("fails"))
	require.False(t, ok)
}

// Requests that wait leave room for those that others wait for.
func TestClaimsOfMany(t *testing.T) {
	upper := Dir(t.TempDir())
	first, second := start(t, t.Context(), &Server{Upper: upper}), start(t, t.Context(), &Server{Upper: upper})
	names := make([]string, 4*runtime.GOMAXPROCS(0))
	for i := range names {
		names[i] = string(rune('a' + i))
		require.Equal(t, response{Miss: true}, first.get(names[i]))
		second.last++
		second.send(message(request{ID: second.last, Command: "get", ActionID: id(names[i])}, ""))
	}
	second.last++
	second.send(message(request{ID: second.last, Command: "put", ActionID: id("own"), OutputID: id("own"), BodySize: 3}, "own"))
	require.Equal(t, response{ID: second.last, DiskPath: upper.file(id("own"), "d")}, second.receive())
	for _, name := range names {
		first.put(name, name)
	}
	for range names {
		require.False(t, second.receive().Miss)
	}
	first.close()
	second.close()
}

// Where the upper folder can't be written, there is nothing to wait for.
func TestNoClaims(t *testing.T) {
	file := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	claims := Dir(file).claims()
	require.Nil(t, claims)
	require.True(t, claims.take(id("any")))
	claims.release(id("any"))
	claims.close()
}
