package inbuild

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/larder-build/larder/internal/gomod"
)

// An expected hash is an h1 hash that a file must have, who says so, and what to do where it doesn't.
type expected struct {
	hash, by, remedy string
}

func inGoSum(sum gomod.Sum) expected {
	return expected{sum.Hash, "go.sum", "one of the two was changed since go.sum was written; compare with another proxy, and run 'go mod verify' on a machine that you trust"}
}

// mismatch is the error for a file of what, such as example.com/mod@v1.2.3, with another hash than expected.
func (e expected) mismatch(what, file, from, got string) error {
	return fmt.Errorf("%s: the %s from %s has %s, %s says %s: %s", what, file, from, got, e.by, e.hash, e.remedy)
}

// checkZip checks that a file is a zip that the go command would take for the module: names below path@version, clean
// and without collisions, sizes within x/mod/zip's limits. It also refuses what the go command would take for a plain
// file but an archiver wouldn't: links and special files. The error names the module and the entry.
func checkZip(m module.Version, file string) error {
	checked, err := modzip.CheckZip(m, file)
	if err != nil {
		switch {
		case len(checked.Invalid) > 0:
			bad := checked.Invalid[0]
			return fmt.Errorf("%s: refusing its zip, entry %q: %w", m, bad.Path, oneLine(bad.Err))
		case checked.SizeError != nil:
			return fmt.Errorf("%s: refusing its zip: %w", m, checked.SizeError)
		}
		return fmt.Errorf("%s: refusing its zip: %w", m, oneLine(err))
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("%s: refusing its zip: %w", m, err)
	}
	defer z.Close()
	for _, f := range z.File {
		if t := f.Mode().Type(); t != 0 && t != fs.ModeDir {
			return fmt.Errorf("%s: refusing its zip, entry %q: it is not a regular file (%s)", m, f.Name, f.Mode())
		}
	}
	return nil
}

// verifyZip is checkZip, then compares the zip's h1 hash. from says where the zip is from, for the error.
func verifyZip(m module.Version, file, from string, want expected) error {
	if err := checkZip(m, file); err != nil {
		return err
	}
	got, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		return fmt.Errorf("%s: reading its zip from %s: %w", m, from, err)
	}
	if got != want.hash {
		return want.mismatch(m.String(), "zip", from, got)
	}
	return nil
}

// verifyMod compares the h1 hash of a go.mod file.
func verifyMod(m module.Version, data []byte, from string, want expected) error {
	got, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	})
	if err != nil {
		return err
	}
	if got != want.hash {
		return want.mismatch(m.String(), "go.mod file", from, got)
	}
	return nil
}

// oneLine makes an error's text fit for one line: what it quotes may come from an archive or a server.
func oneLine(err error) error {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
	if text == err.Error() {
		return err
	}
	return fmt.Errorf("%s", text)
}
