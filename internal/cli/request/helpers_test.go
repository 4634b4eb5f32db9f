package request

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeELF makes the smallest ELF file of a machine, with a dynamic linker or
// without, and returns its path.
func writeELF(t *testing.T, name string, machine elf.Machine, dynamic bool) string {
	t.Helper()
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Ehsize: 64, Phentsize: 56, Shentsize: 64,
	}
	if dynamic {
		h.Phoff, h.Phnum = 64, 1
	}
	var b bytes.Buffer
	require.NoError(t, binary.Write(&b, binary.LittleEndian, h))
	if dynamic {
		require.NoError(t, binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP)}))
	}
	return write(t, filepath.Join(t.TempDir(), name), b.String())
}

// write makes a file, and the folders above it, and returns its path.
func write(t *testing.T, path, data string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(data), 0o755))
	return path
}

// read returns a file's content.
func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// names returns the entries of a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// testHost is a machine with nothing on it but larder.
func testHost(t *testing.T) Host {
	return Host{
		Env:    map[string]string{},
		Stdin:  bytes.NewReader(nil),
		Stdout: &bytes.Buffer{}, Executable: writeELF(t, "larder", elf.EM_X86_64, false),
	}
}

// module makes a folder with a go.mod in it.
func module(t *testing.T) string {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.com/m\n")
	return dir
}

// newRequest makes a request that has to be a good one.
func newRequest(t *testing.T, o Options, h Host) *Request {
	t.Helper()
	r, err := New(context.Background(), o, h)
	require.NoError(t, err)
	return r
}
