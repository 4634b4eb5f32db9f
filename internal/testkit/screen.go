package testkit

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/containerd/console"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/vt100"
)

// A Screen is a pseudo terminal, and what a person sees on it.
type Screen struct {
	TTY *os.File // for programs

	t       testing.TB
	ours    console.Console
	seen    *vt100.VT100
	read    []byte // of which seen knows nothing yet
	written bytes.Buffer
}

// NewScreen opens a pseudo terminal of a size.
func NewScreen(t testing.TB, columns, rows int) *Screen {
	ours, name, err := console.NewPty()
	if err != nil {
		Lacks(t, "pseudo terminals", "mount devpts at /dev/pts: "+err.Error())
	}
	t.Cleanup(func() { ours.Close() })
	s := &Screen{t: t, ours: ours, seen: vt100.NewVT100(rows, columns)}
	s.Resize(columns, rows)
	s.TTY, err = os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { s.TTY.Close() })
	return s
}

// Resize tells the terminal another size. What is seen stays where it is.
func (s *Screen) Resize(columns, rows int) {
	require.NoError(s.t, s.ours.Resize(console.WinSize{Width: uint16(columns), Height: uint16(rows)}))
}

// See returns the lines that are on the screen now, without empty ones at its end.
func (s *Screen) See() string {
	const mark = "\x05" // which no program writes
	_, err := s.TTY.WriteString(mark)
	require.NoError(s.t, err)
	for !bytes.Contains(s.read, []byte(mark)) { // programs may write more behind it
		buf := make([]byte, 4096)
		n, err := s.ours.Read(buf)
		require.NoError(s.t, err)
		s.read = append(s.read, buf[:n]...)
	}
	got, rest, _ := bytes.Cut(s.read, []byte(mark))
	s.read = rest
	s.written.Write(got)
	_, err = s.seen.Write(got)
	require.NoError(s.t, err)
	var list []string
	for _, line := range s.seen.Content {
		list = append(list, strings.TrimRight(string(line), " "))
	}
	return strings.TrimRight(strings.Join(list, "\n"), "\n")
}

// Written returns all that See has read.
func (s *Screen) Written() string { return s.written.String() }
