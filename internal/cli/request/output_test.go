package request

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"
)

// outputRequest makes a request with one output, and returns what BuildKit
// would be given of it.
func outputRequest(t *testing.T, output string) (*Request, client.ExportEntry) {
	t.Helper()
	r := newRequest(t, Options{Context: module(t), Outputs: []string{output}}, testHost(t))
	opt, _, err := r.SolveOpt(Builder{})
	require.NoError(t, err)
	require.Len(t, opt.Exports, 1)
	return r, opt.Exports[0]
}

// send writes data as the exporter does.
func send(t *testing.T, e client.ExportEntry, data []byte) error {
	t.Helper()
	w, err := e.Output(nil)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return errors.Join(err, w.Close())
}

// TestFileOutput checks that a file has its name only once the build is well,
// and that nothing else is left in either case.
func TestFileOutput(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.tar")
	r, e := outputRequest(t, "type=oci,dest="+path)
	require.Empty(t, names(t, dir), "nothing is made before it comes")
	require.NoError(t, send(t, e, []byte("new")))
	require.NoFileExists(t, path)
	require.NoError(t, r.Finish(nil))
	require.Equal(t, []string{"x.tar"}, names(t, dir))
	require.Equal(t, "new", read(t, path))

	failure := errors.New("a step failed")
	r, e = outputRequest(t, "type=oci,dest="+path)
	require.NoError(t, send(t, e, []byte("half")))
	require.Equal(t, failure, r.Finish(failure))
	require.Equal(t, []string{"x.tar"}, names(t, dir))
	require.Equal(t, "new", read(t, path), "the old file stays")
}

// TestFileOutputLink checks that a link stays one, and a file's mode its own.
func TestFileOutputLink(t *testing.T) {
	dir := t.TempDir()
	target := write(t, filepath.Join(dir, "target"), "old")
	require.NoError(t, os.Chmod(target, 0o640))
	require.NoError(t, os.Symlink("target", filepath.Join(dir, "link")))
	r, e := outputRequest(t, "type=tar,dest="+filepath.Join(dir, "link"))
	require.NoError(t, send(t, e, []byte("new")))
	require.NoError(t, r.Finish(nil))
	require.Equal(t, "new", read(t, target))
	require.Equal(t, []string{"link", "target"}, names(t, dir))
	fi, err := os.Stat(target)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), fi.Mode())
}

// TestFullDisk checks the error of a disk that is full: it names the file, and
// beats what the builder makes of it. A device isn't replaced by a file.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Fatal("this machine has no /dev/full to write to")
	}
	r, e := outputRequest(t, "type=oci,dest=/dev/full")
	require.Error(t, send(t, e, []byte("x")))
	err := r.Finish(errors.New("failed to solve: Unknown: EOF"))
	require.EqualError(t, err, "write /dev/full: no space left on device")
	require.ErrorIs(t, err, syscall.ENOSPC)
	fi, err := os.Stat("/dev/full")
	require.NoError(t, err)
	require.NotZero(t, fi.Mode()&fs.ModeDevice)
}

// archive makes a tar archive.
func archive(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range headers {
		data := h.Linkname
		if h.Typeflag == tar.TypeReg {
			h.Size, h.Linkname = int64(len(data)), ""
		}
		require.NoError(t, tw.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := tw.Write([]byte(data))
			require.NoError(t, err)
		}
	}
	require.NoError(t, tw.Close())
	b.Write(make([]byte, 4096)) // as tar programs pad
	return b.Bytes()
}

var epoch = time.Unix(1000, 0)

// file, folder and link make headers; a file's Linkname is its content.
func file(name, data string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: data, Mode: 0o755, ModTime: epoch}
}

func folder(name string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, ModTime: epoch}
}

func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, ModTime: epoch}
}

// TestFolderOutput checks a folder that isn't there, and then one that is: it
// keeps what the build doesn't have.
func TestFolderOutput(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "new", "out")
	r, e := outputRequest(t, path)
	require.Equal(t, "tar", e.Type)
	require.NoError(t, send(t, e, archive(t, folder("bin/", 0o555), file("bin/a", "1"), link("b", "bin/a"), file("etc/c", "2"))))
	require.NoDirExists(t, path)
	require.NoError(t, r.Finish(nil))
	require.Equal(t, "1", read(t, filepath.Join(path, "b")))
	fi, err := os.Stat(filepath.Join(path, "bin"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o555), fi.Mode().Perm())
	require.True(t, fi.ModTime().Equal(epoch))

	write(t, filepath.Join(path, "mine"), "3")
	r, e = outputRequest(t, path)
	require.NoError(t, send(t, e, archive(t, folder("bin/", 0o755), file("bin/a", "4"), file("b", "5"), file("etc", "6"), folder("mine/", 0o755))))
	require.Equal(t, "1", read(t, filepath.Join(path, "bin", "a")))
	require.NoError(t, r.Finish(nil))
	require.Equal(t, []string{"b", "bin", "etc", "mine"}, names(t, path))
	require.Equal(t, "4", read(t, filepath.Join(path, "bin", "a")))
	require.Equal(t, "5", read(t, filepath.Join(path, "b")))
	require.Equal(t, "6", read(t, filepath.Join(path, "etc")))
}

// TestFolderOutputFails checks that a build that fails half way leaves the
// folder as it was, and that its error is the build's.
func TestFolderOutputFails(t *testing.T) {
	parent := t.TempDir()
	failure := errors.New("the builder went away")
	for _, path := range []string{filepath.Join(parent, "new"), parent} {
		r, e := outputRequest(t, path)
		data := archive(t, file("a", "1"), file("b", "2"))
		require.Error(t, send(t, e, data[:1400]))
		require.Equal(t, failure, r.Finish(failure))
		require.Empty(t, names(t, parent))
	}
}

// TestHostileArchive checks that an archive can't write outside of its folder.
func TestHostileArchive(t *testing.T) {
	for name, headers := range map[string][]tar.Header{
		"a name that leads out":    {file("../x", "1")},
		"an absolute name":         {file("/x", "1")},
		"a link that leads out":    {link("l", ".."), file("l/x", "1")},
		"an absolute link":         {link("l", "/"), file("l/x", "1")},
		"a hard link to elsewhere": {{Typeflag: tar.TypeLink, Name: "x", Linkname: "../secret", ModTime: epoch}},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			write(t, filepath.Join(parent, "secret"), "s")
			r, e := outputRequest(t, filepath.Join(parent, "out"))
			err := send(t, e, archive(t, headers...))
			require.Error(t, err)
			require.ErrorContains(t, r.Finish(err), "write "+filepath.Join(parent, "out"))
			require.Equal(t, []string{"secret"}, names(t, parent))
		})
	}
}

// TestLayoutOutput checks that a layout's index is added to by what stands in
// the staging folder, which the index is lent to.
func TestLayoutOutput(t *testing.T) {
	path := t.TempDir()
	write(t, filepath.Join(path, "index.json"), "old")
	r, e := outputRequest(t, "type=oci,tar=false,dest="+path)
	require.Equal(t, "old", read(t, filepath.Join(e.OutputDir, "index.json")))
	write(t, filepath.Join(e.OutputDir, "index.json"), "old+new")
	write(t, filepath.Join(e.OutputDir, "blobs", "sha256", "a"), "1")
	require.NoError(t, os.Mkdir(filepath.Join(e.OutputDir, "ingest"), 0o755))
	require.NoError(t, r.Finish(nil))
	require.Equal(t, []string{"blobs", "index.json"}, names(t, path))
	require.Equal(t, "old+new", read(t, filepath.Join(path, "index.json")))

	r, e = outputRequest(t, "type=oci,tar=false,dest="+path)
	cause := errors.New("failed to solve: write " + e.OutputDir + "/ingest/x: no space left on device")
	require.EqualError(t, r.Finish(cause), "write "+path+": no space left on device")
	require.Equal(t, []string{"blobs", "index.json"}, names(t, path))
}

// TestWriteFile checks the small files that a build writes.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, WriteFile(filepath.Join(dir, "id"), []byte("sha256:1")))
	require.Equal(t, []string{"id"}, names(t, dir))
	require.Error(t, WriteFile(filepath.Join(dir, "none", "id"), nil))
}

// TestLateOutput checks that a session that outlives its build can't bring
// back what was removed.
func TestLateOutput(t *testing.T) {
	dir := t.TempDir()
	failure := errors.New("interrupted")
	for _, output := range []string{"type=oci,dest=" + filepath.Join(dir, "x.tar"), filepath.Join(dir, "x")} {
		r, e := outputRequest(t, output)
		w, err := e.Output(nil)
		require.NoError(t, err)
		require.Equal(t, failure, r.Finish(failure))
		require.Empty(t, names(t, dir))
		_, _ = w.Write([]byte("late"))
		_ = w.Close()
		require.Empty(t, names(t, dir))

		r, e = outputRequest(t, output)
		require.Equal(t, failure, r.Finish(failure))
		_, err = e.Output(nil)
		require.Error(t, err)
		require.Empty(t, names(t, dir))
	}
}
