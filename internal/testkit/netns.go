package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A Netns is a network namespace that has only a loopback interface. A nil Netns stands for the machine's own network.
type Netns struct{ name string }

var netnsCount atomic.Int64

// Offline makes a network namespace for a test. Programs in it reach no other machine, and not this machine's network
// either.
func Offline(t testing.TB) *Netns {
	NeedRoot(t)
	Installed(t, "ip")
	ns := &Netns{fmt.Sprintf("larder-%d-%d", os.Getpid(), netnsCount.Add(1))}
	Run(t, "ip", "netns", "add", ns.name)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", ns.name).CombinedOutput(); err != nil {
			t.Errorf("ip netns delete: %v: %s", err, out)
		}
	})
	Run(t, "ip", "-n", ns.name, "link", "set", "lo", "up")
	return ns
}

// Command returns a command that runs in the namespace. It is killed when the test ends.
func (ns *Netns) Command(t testing.TB, name string, args ...string) *exec.Cmd {
	if ns == nil {
		return exec.CommandContext(t.Context(), name, args...)
	}
	// Not "ip netns exec": that mounts a new /sys, without the cgroups that containers need.
	return exec.CommandContext(t.Context(), "nsenter", append([]string{"--net=/run/netns/" + ns.name, "--", name}, args...)...)
}

// Do calls f on a thread in the namespace. Listeners and connections that f makes stay in the namespace, even after f
// has returned.
func (ns *Netns) Do(f func()) error {
	done := make(chan error)
	go func() {
		// Without an unlock the thread ends with the goroutine, and no other one gets into the namespace.
		runtime.LockOSThread()
		err := ns.enter()
		if err == nil {
			f()
		}
		done <- err
	}()
	return <-done
}

func (ns *Netns) enter() error {
	file, err := os.Open("/run/netns/" + ns.name)
	if err != nil {
		return err
	}
	defer file.Close()
	return os.NewSyscallError("setns", unix.Setns(int(file.Fd()), unix.CLONE_NEWNET))
}

// Registry starts a real registry in the namespace, without TLS, at an address.
func (ns *Netns) Registry(t testing.TB, addr string) {
	Installed(t, "busybox")
	start(t, ns.Command(t, Tool(t, "registry"), "serve", registryConfig(t, addr)))
	require.Eventually(t, func() bool {
		return ns.Command(t, "busybox", "wget", "-q", "-O", "-", "http://"+addr+"/v2/").Run() == nil
	}, Patience, 50*time.Millisecond, "the registry doesn't answer")
}
