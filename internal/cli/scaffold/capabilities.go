package scaffold

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
)

// fileCapabilities returns the value of the kernel's attribute security.capability for the texts of a .ko.yaml's
// linux_capabilities, in hexadecimal: struct vfs_cap_data of linux/capability.h, version 2. As with ko, a text is a
// name, which is permitted, or a clause of cap_from_text(3). It is "" if nothing is left.
func fileCapabilities(texts []item) (string, error) {
	var c capabilitySets
	for _, t := range texts {
		if err := c.add(t.text); err != nil {
			return "", koError(t.line, "linux_capabilities: %w", err)
		}
	}
	if c.permitted|c.inheritable == 0 {
		return "", nil
	}
	const version2, effective = 0x02000000, 1
	magic := uint32(version2)
	if c.effective != 0 {
		magic |= effective
	}
	var b []byte
	for _, n := range []uint32{magic, uint32(c.permitted), uint32(c.inheritable), uint32(c.permitted >> 32), uint32(c.inheritable >> 32)} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return hex.EncodeToString(b), nil
}

type capabilitySets struct{ permitted, inheritable, effective uint64 }

func (c *capabilitySets) add(text string) error {
	i := strings.IndexAny(text, "+-=")
	if i < 0 {
		mask, err := capabilityMask(text)
		c.permitted |= mask
		return err
	}
	names, actions := text[:i], text[i:]
	if names == "" && actions[0] == '=' {
		names = "all"
	}
	var mask uint64
	for name := range strings.SplitSeq(names, ",") {
		m, err := capabilityMask(name)
		if err != nil {
			return err
		}
		mask |= m
	}
	sets := map[rune]*uint64{'p': &c.permitted, 'i': &c.inheritable, 'e': &c.effective}
	remove := false
	for _, action := range actions {
		set := sets[action]
		switch {
		case action == '=':
			c.permitted, c.inheritable, c.effective = c.permitted&^mask, c.inheritable&^mask, c.effective&^mask
			remove = false
		case action == '+' || action == '-':
			remove = action == '-'
		case set == nil:
			return fmt.Errorf("%q: unknown flag %q: one of e, i, p", text, action)
		case remove:
			*set &^= mask
		default:
			*set |= mask
		}
	}
	return nil
}

// capabilityMask returns the bit of a capability, which is given by its name for Docker's --cap-add or by its number.
func capabilityMask(name string) (uint64, error) {
	if n, err := strconv.ParseUint(name, 10, 6); err == nil {
		return 1 << n, nil
	}
	short, all := strings.TrimPrefix(strings.ToLower(name), "cap_"), uint64(0)
	for _, known := range capability.ListKnown() {
		if known.String() == short {
			return 1 << known, nil
		}
		all |= 1 << known
	}
	if short == "all" {
		return all, nil
	}
	return 0, fmt.Errorf("unknown capability %q", name)
}

// setcap is a program that is used instead of setcap(8), for which an image would be needed. COPY keeps the attribute
// that it sets.
const setcap = `COPY <<"EOF" /setcap.go
package main

import (
	"encoding/hex"
	"log"
	"os"
	"syscall"
)

func main() {
	data, err := hex.DecodeString(os.Args[2])
	if err == nil {
		err = syscall.Setxattr(os.Args[1], "security.capability", data, 0)
	}
	if err != nil {
		log.Fatal(err)
	}
}
EOF
`

// writeCapabilities writes the lines that set the file capabilities of a program in the stage that builds it.
func writeCapabilities(b *strings.Builder, p *Program, caps string) {
	var texts []string
	for _, c := range p.settings.caps {
		texts = append(texts, c.text)
	}
	fmt.Fprintf(b, "# linux_capabilities: %s\n%sGO run /setcap.go /out/%s %s\n", strings.Join(texts, " "), setcap, p.Name, caps)
}
