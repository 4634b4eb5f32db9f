package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
)

// A Netns is a network namespace with a loopback interface and nothing else. A nil one stands for the machine's own.
type Netns struct{ name string }

var netnsCount atomic.Int64

// Offline makes a network namespace for a test: what runs there reaches no other machine, and not this one either.
func Offline(t testing.TB) *Netns {
	NeedRoot(t)
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

// Command returns a command that runs in the namespace until the test ends at the latest.
func (ns *Netns) Command(t testing.TB, name string, args ...string) *exec.Cmd {
	if ns == nil {
		return exec.CommandContext(t.Context(), name, args...)
	}
	// Not "ip netns exec": that mounts a new /sys, without the cgroups that containers need.
	return exec.CommandContext(t.Context(), "nsenter", append([]string{"--net=/run/netns/" + ns.name, "--", name}, args...)...)
}
