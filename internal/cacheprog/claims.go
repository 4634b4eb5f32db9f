package cacheprog

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a session waits for what another one has claimed. Few packages take longer to compile; what is
// never put, as where compiling fails, holds others up no longer.
const patience = 10 * time.Second

// claims are promises to put what a Dir doesn't have, so that of several go commands that use it at once, on one machine,
// one compiles a package and the others wait for it. The claim of an action is a lock on a byte of one file, whose place
// its ID gives: the kernel releases it when its process ends, however that does.
type claims struct{ file *os.File }

// claims opens the file of claims. It returns nil, of which all claims succeed, where that can't be written.
func (d Dir) claims() *claims {
	if d == "" || os.MkdirAll(string(d), 0o755) != nil {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(string(d), "claims"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil
	}
	return &claims{f}
}

// take claims an action and reports whether nobody else has. Where there are no such locks, nobody has.
func (c *claims) take(action []byte) bool {
	return c == nil || c.lock(action, unix.F_WRLCK) != unix.EAGAIN
}

// release takes a claim back. One that was not taken stays untaken.
func (c *claims) release(action []byte) {
	if c != nil {
		c.lock(action, unix.F_UNLCK)
	}
}

func (c *claims) lock(action []byte, kind int16) error {
	place := int64(binary.BigEndian.Uint64(action) >> 2) // there has to be a byte after it
	return unix.FcntlFlock(c.file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Start: place, Len: 1})
}

func (c *claims) close() {
	if c != nil {
		c.file.Close()
	}
}
