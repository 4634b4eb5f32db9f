package elflibs_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// An image is what a test's ELF file says of itself. Its file has program headers alone, and no code.
type image struct {
	machine elf.Machine // x86-64 if absent
	interp  string
	needed  []string
	rpath   string
	runpath string
	flags1  elf.DynFlag1
}

// bytes writes the file: header, program headers, dynamic section, names.
func (i image) bytes() []byte {
	const header, entries = 64, 3
	machine := i.machine
	if machine == elf.EM_NONE {
		machine = elf.EM_X86_64
	}
	names := "\x00"
	name := func(s string) uint64 {
		at := uint64(len(names))
		names += s + "\x00"
		return at
	}
	var dyn []elf.Dyn64
	add := func(tag elf.DynTag, value uint64) { dyn = append(dyn, elf.Dyn64{Tag: int64(tag), Val: value}) }
	for _, n := range i.needed {
		add(elf.DT_NEEDED, name(n))
	}
	if i.rpath != "" {
		add(elf.DT_RPATH, name(i.rpath))
	}
	if i.runpath != "" {
		add(elf.DT_RUNPATH, name(i.runpath))
	}
	if i.flags1 != 0 {
		add(elf.DT_FLAGS_1, uint64(i.flags1))
	}
	interp := name(i.interp)
	dynAt := uint64(header + entries*56)
	dynSize := uint64(len(dyn)+2) * 16
	namesAt := dynAt + dynSize
	add(elf.DT_STRTAB, namesAt)
	add(elf.DT_NULL, 0)

	var b bytes.Buffer
	write := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // to a buffer: never fails
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: header, Ehsize: header, Phentsize: 56, Phnum: entries, Shentsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	write(h)
	write(elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: namesAt + uint64(len(names))})
	kind := elf.PT_INTERP
	if i.interp == "" {
		kind = elf.PT_NULL
	}
	write(elf.Prog64{Type: uint32(kind), Off: namesAt + interp, Filesz: uint64(len(i.interp)) + 1})
	write(elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Off: dynAt, Filesz: dynSize})
	write(dyn)
	b.WriteString(names)
	return b.Bytes()
}

func lib(needed ...string) string { return string(image{needed: needed}.bytes()) }

// program is one for glibc.
func program(needed ...string) image { return image{interp: glibc, needed: needed} }

const (
	glibc = "/lib64/ld-linux-x86-64.so.2"
	musl  = "/lib/ld-musl-x86_64.so.1"
)

// lines writes what a search found, a line for each.
func lines(list []string) string { return strings.Join(list, "\n") }
