package elflibs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// These are bounds on what is read of a file, which may be hostile.
const (
	maxText    = 4096    // bytes of a name or of a list of folders, as PATH_MAX
	maxDynamic = 1 << 20 // bytes of a dynamic section
)

// An object has the parts of an ELF file that the loader reads.
type object struct {
	class   elf.Class
	data    elf.Data
	machine elf.Machine

	interp         string   // the loader; "" for a static program or a library
	needed         []string // names of libraries
	rpath, runpath []string // folders
	noDefault      bool     // it isn't to be looked for in the loader's own folders
}

// fits reports whether a library can be loaded into a program.
func (o *object) fits(program *object) bool {
	return o.class == program.class && o.data == program.data && o.machine == program.machine
}

func readFile(root fs.FS, name string) (*object, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	r, ok := f.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("%s can't be read at an offset", name)
	}
	return read(r)
}

// read reads an ELF file's program headers, as the loader does. It ignores section headers, which may be missing or
// wrong.
func read(r io.ReaderAt) (*object, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	o := &object{class: f.Class, data: f.Data, machine: f.Machine}
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_INTERP:
			if o.interp, err = text(p, 0); err != nil {
				return nil, fmt.Errorf("the name of the loader: %w", err)
			}
		case elf.PT_DYNAMIC:
			if err := o.readDynamic(f, p); err != nil {
				return nil, fmt.Errorf("the dynamic section: %w", err)
			}
		}
	}
	return o, nil
}

// readDynamic reads the dynamic section.
func (o *object) readDynamic(f *elf.File, p *elf.Prog) error {
	data, err := io.ReadAll(io.NewSectionReader(p, 0, int64(min(p.Filesz, maxDynamic))))
	if err != nil {
		return err
	}
	var names, rpaths, runpaths []uint64
	var table uint64
	for len(data) > 0 {
		tag, value, rest := entry(f, data)
		data = rest
		switch elf.DynTag(tag) {
		case elf.DT_NULL:
			data = nil
		case elf.DT_STRTAB:
			table = value
		case elf.DT_NEEDED:
			names = append(names, value)
		case elf.DT_RPATH:
			rpaths = append(rpaths, value)
		case elf.DT_RUNPATH:
			runpaths = append(runpaths, value)
		case elf.DT_FLAGS_1:
			o.noDefault = elf.DynFlag1(value)&elf.DF_1_NODEFLIB != 0
		}
	}
	if len(names) > most {
		return fmt.Errorf("it names %d libraries: more than %d are not read", len(names), most)
	}
	if o.needed, err = texts(f, table, names); err != nil {
		return err
	}
	if o.rpath, err = texts(f, table, rpaths); err != nil {
		return err
	}
	o.runpath, err = texts(f, table, runpaths)
	o.rpath, o.runpath = folders(o.rpath), folders(o.runpath)
	return err
}

// entry reads one entry of a dynamic section. At the end of the data it returns a DT_NULL.
func entry(f *elf.File, data []byte) (tag, value uint64, rest []byte) {
	if f.Class == elf.ELFCLASS64 {
		if len(data) < 16 {
			return 0, 0, nil
		}
		return f.ByteOrder.Uint64(data), f.ByteOrder.Uint64(data[8:]), data[16:]
	}
	if len(data) < 8 {
		return 0, 0, nil
	}
	return uint64(f.ByteOrder.Uint32(data)), uint64(f.ByteOrder.Uint32(data[4:])), data[8:]
}

// texts reads strings from the string table at an address.
func texts(f *elf.File, table uint64, offsets []uint64) (list []string, err error) {
	for _, off := range offsets {
		s, err := loadedText(f, table+off)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func loadedText(f *elf.File, address uint64) (string, error) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && address >= p.Vaddr && address-p.Vaddr < p.Filesz {
			return text(p, address-p.Vaddr)
		}
	}
	return "", fmt.Errorf("a name at address %#x, which is not in the file", address)
}

// text reads a string that ends with a NUL byte.
func text(p *elf.Prog, off uint64) (string, error) {
	data := make([]byte, min(p.Filesz-off, maxText))
	if n, err := p.ReadAt(data, int64(off)); err != nil && n < len(data) {
		return "", err
	}
	s, _, ok := bytes.Cut(data, []byte{0})
	if !ok || len(s) == 0 {
		return "", errors.New("a name that is empty, or has no end")
	}
	return string(s), nil
}

func folders(lists []string) (all []string) {
	for _, list := range lists {
		all = append(all, strings.Split(list, ":")...)
	}
	return all
}
