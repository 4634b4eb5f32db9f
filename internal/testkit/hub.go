package testkit

import (
	"fmt"
	"testing"
)

// A Hub is a network namespace that other namespaces, its spokes, are linked to. A spoke reaches the hub, and nothing
// else.
type Hub struct {
	*Netns
	spokes int
}

// hubAddr is the hub's address for all spokes. It is in a range for documentation (RFC 5737).
const hubAddr = "192.0.2.1"

// NewHub makes a hub without spokes.
func NewHub(t testing.TB) *Hub {
	h := &Hub{Netns: Offline(t)}
	Run(t, "ip", "-n", h.name, "address", "add", hubAddr+"/32", "dev", "lo")
	return h
}

// Spoke makes a network namespace that reaches only the hub.
func (h *Hub) Spoke(t testing.TB) *Netns {
	ns := Offline(t)
	h.spokes++
	link := fmt.Sprintf("spoke%d", h.spokes)
	near, far := fmt.Sprintf("198.51.100.%d", 4*h.spokes+1), fmt.Sprintf("198.51.100.%d", 4*h.spokes+2)
	Run(t, "ip", "link", "add", link, "netns", h.name, "type", "veth", "peer", "name", "hub", "netns", ns.name)
	Run(t, "ip", "-n", h.name, "address", "add", near+"/30", "dev", link)
	Run(t, "ip", "-n", h.name, "link", "set", link, "up")
	Run(t, "ip", "-n", ns.name, "address", "add", far+"/30", "dev", "hub")
	Run(t, "ip", "-n", ns.name, "link", "set", "hub", "up")
	Run(t, "ip", "-n", ns.name, "route", "add", hubAddr, "via", near)
	return ns
}

// Registry starts a real registry in the hub, without TLS, and returns its host and port.
func (h *Hub) Registry(t testing.TB) string {
	addr := hubAddr + ":5000"
	h.Netns.Registry(t, addr)
	return addr
}
