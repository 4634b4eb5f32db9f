package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// --shm-size and --ulimit reach the processes of steps, as by docker build.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.write("Dockerfile", "# syntax=ghcr.io/larder-build/larder:1\nFROM go\nGO run .\n")
	w.write("main.go", `package main

import (
	"fmt"
	"syscall"

	_ "a.example/greet"
	_ "b.example/Name/v2"
)

func main() {
	var limit syscall.Rlimit
	var shm syscall.Statfs_t
	fmt.Println(syscall.Getrlimit(syscall.RLIMIT_CORE, &limit), syscall.Statfs("/dev/shm", &shm))
	fmt.Println("core", limit.Cur, limit.Max, "shared memory", int64(shm.Blocks)*shm.Bsize)
}
`)
	out, err := w.build("--ulimit", "core=777:888", "--shm-size", "3m", "--no-cache-filter", "*", "-o", "type=cacheonly")
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, "core 777 888 shared memory 3145728")
}
