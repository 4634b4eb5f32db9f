package gocache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// copyEnv names the folders of a copy that TestKilled's child makes.
const copyEnv = "GOCACHE_TEST_COPY"

func TestMain(m *testing.M) {
	var from, to string
	if n, _ := fmt.Sscanf(os.Getenv(copyEnv), "%s %s", &from, &to); n < 2 {
		os.Exit(m.Run())
	}
	if _, err := Dir(to).Copy(context.Background(), Dir(from), Choice{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// filled is a folder of many entries, of which some have the same output.
func filled(t *testing.T, count int) (Dir, func(int) string) {
	text := func(i int) string { return fmt.Sprint("output ", i/2, " ", string(make([]byte, 5000))) }
	d := Dir(t.TempDir())
	for i := range count {
		store(t, d, fmt.Sprint(i), text(i))
	}
	return d, text
}

// Whoever is killed leaves no entry that a go command would take and that is wrong, and nothing that keeps the next from
// copying the rest.
func TestKilled(t *testing.T) {
	const count = 400
	from, text := filled(t, count)
	to := Dir(t.TempDir())
	self, err := os.Executable()
	require.NoError(t, err)
	killed := 0
	for range 20 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), copyEnv+"="+string(from)+" "+string(to))
		require.NoError(t, cmd.Start())
		time.Sleep(rand.N(30 * time.Millisecond))
		_ = cmd.Process.Kill()
		if cmd.Wait() != nil {
			killed++
		}
		for i := range count {
			if _, ok := to.read(id(fmt.Sprint(i))); ok {
				require.True(t, has(to, fmt.Sprint(i), text(i)))
			}
		}
		for i := range count / 2 { // so that the next has something to do
			_ = os.Remove(to.file(id(fmt.Sprint(i)), "a"))
		}
	}
	require.NotZero(t, killed, "no child was killed before its end")
	_, err = to.Copy(t.Context(), from, Choice{})
	require.NoError(t, err)
	for i := range count {
		require.True(t, has(to, fmt.Sprint(i), text(i)))
	}
}

// Several may copy into one folder, and out of it, at the same time.
func TestCopiesAtOnce(t *testing.T) {
	const count = 300
	from, text := filled(t, count)
	between := Dir(t.TempDir())
	ends := make([]Dir, 4)
	var group sync.WaitGroup
	for i := range ends {
		ends[i] = Dir(t.TempDir())
		group.Go(func() {
			if _, err := between.Copy(t.Context(), from, Choice{}); err != nil {
				t.Error(err)
			}
			if _, err := ends[i].Copy(t.Context(), between, Choice{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, end := range ends {
		for i := range count {
			require.True(t, has(end, fmt.Sprint(i), text(i)))
		}
	}
}
