package modfetch

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/golang/gomod"
)

// An Expected hash is an h1 hash that a file must have, with its source, and with advice for a mismatch.
type Expected struct {
	Hash, By, Remedy string
}

// InGoSum returns the hash that a line of go.sum expects.
func InGoSum(sum gomod.Sum) Expected {
	return Expected{sum.Hash, "go.sum", "one of the two was changed since go.sum was written; compare with another proxy, and run 'go mod verify' on a machine that you trust"}
}

// Mismatch returns the error for a wrong hash. The parameter what names the module, such as example.com/mod@v1.2.3.
func (e Expected) Mismatch(what, file, from, got string) error {
	return fmt.Errorf("%s: the %s from %s has %s, %s says %s: %s", what, file, from, got, e.By, e.Hash, e.Remedy)
}

// CheckZip checks that a file is a zip that the go command accepts for the module: all names are below path@version,
// clean and without collisions, and sizes are within x/mod/zip's limits. It also refuses links and special files, which
// the go command would read as plain files but an archiver wouldn't. The error names the module and the entry.
func CheckZip(m module.Version, file string) error {
	checked, err := modzip.CheckZip(m, file)
	if err != nil {
		switch {
		case len(checked.Invalid) > 0:
			bad := checked.Invalid[0]
			return fmt.Errorf("%s: refusing its zip, entry %q: %w", m, bad.Path, fetch.OneLine(bad.Err))
		case checked.SizeError != nil:
			return fmt.Errorf("%s: refusing its zip: %w", m, checked.SizeError)
		}
		return fmt.Errorf("%s: refusing its zip: %w", m, fetch.OneLine(err))
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

// CheckZipIn is like CheckZip, for a zip that r reads.
func CheckZipIn(m module.Version, r io.ReaderAt, size int64) error {
	if size > modzip.MaxZipFile {
		return fmt.Errorf("its zip has %d bytes: the go command allows %d", size, modzip.MaxZipFile)
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return fmt.Errorf("refusing its zip: %w", err)
	}
	left := int64(modzip.MaxZipFile)
	names := map[string]string{} // folded, to what they were before
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, m.String()+"/")
		if t := f.Mode().Type(); !ok || strings.HasSuffix(name, "/") || t != 0 {
			return fmt.Errorf("refusing its zip, entry %q: it is not a regular file below %s", f.Name, m)
		}
		if err := module.CheckFilePath(name); err != nil {
			return fmt.Errorf("refusing its zip, entry %q: %w", f.Name, fetch.OneLine(err))
		}
		if err := addFolded(names, name); err != nil {
			return fmt.Errorf("refusing its zip, entry %q: %w", f.Name, err)
		}
		if strings.EqualFold(path.Base(name), "go.mod") && name != "go.mod" {
			return fmt.Errorf("refusing its zip, entry %q: it is a go.mod file, but not the module's", f.Name)
		}
		if f.UncompressedSize64 > uint64(left) {
			return fmt.Errorf("refusing its zip: it unpacks to more than the %d bytes that the go command allows", int64(modzip.MaxZipFile))
		}
		left -= int64(f.UncompressedSize64)
	}
	return nil
}

// addFolded adds a name and its folders. It refuses a name that differs from another only in the case of its letters,
// or that is both a file and a folder; this applies to its folders too. Names of folders end in a slash.
func addFolded(names map[string]string, name string) error {
	slash := ""
	for ; name != "."; name, slash = path.Dir(name), "/" {
		folded := strings.ToLower(strings.ToUpper(name))
		switch other, ok := names[folded]; {
		case ok && strings.TrimSuffix(other, "/") != name:
			return fmt.Errorf("it is the same as %q but for the case of its letters", other)
		case ok && other != name+slash:
			return fmt.Errorf("%q is both a file and a folder", name)
		}
		names[folded] = name + slash
	}
	return nil
}

// VerifyZip calls CheckZip and then compares the zip's h1 hash. The parameter from names the zip's source in errors.
func VerifyZip(m module.Version, file, from string, want Expected) error {
	if err := CheckZip(m, file); err != nil {
		return err
	}
	got, err := dirhash.HashZip(file, Hash1)
	if err != nil {
		return fmt.Errorf("%s: reading its zip from %s: %w", m, from, err)
	}
	if got != want.Hash {
		return want.Mismatch(m.String(), "zip", from, got)
	}
	return nil
}

// VerifyMod compares the h1 hash of a go.mod file.
func VerifyMod(m module.Version, data []byte, from string, want Expected) error {
	got, err := HashMod(data)
	if err != nil {
		return err
	}
	if got != want.Hash {
		return want.Mismatch(m.String(), "go.mod file", from, got)
	}
	return nil
}

// VerifySum compares a file with its go.sum line. An error ends the search: no other proxy is asked instead, because
// the user has to know that one serves wrong bytes.
func VerifySum(sum gomod.Sum, file, from string) error {
	if !sum.GoMod {
		return VerifyZip(sum.Module(), file, from, InGoSum(sum))
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", sum.Module(), err)
	}
	return VerifyMod(sum.Module(), data, from, InGoSum(sum))
}

// MaxReported is the greatest number of failed files in an error, one on each line.
const MaxReported = 10

// Summarize joins the errors of many files, sorted and limited in number, so that the same failures give the same text.
// Without errors it returns nil.
func Summarize(failed []error) error {
	slices.SortFunc(failed, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	// A module's zip and its go.mod file fail alike.
	failed = slices.CompactFunc(failed, func(a, b error) bool { return a.Error() == b.Error() })
	if n := len(failed); n > MaxReported {
		failed = append(failed[:MaxReported:MaxReported], fmt.Errorf("and %d more", n-MaxReported))
	}
	return errors.Join(failed...)
}
