package request

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/upload/uploadprovider"
)

// Header is the whole Dockerfile of a module that has none. The module then
// determines what is built.
const Header = "# syntax=ghcr.io/larder-build/larder:1\n"

// maxDockerfile is the greatest size of a Dockerfile, and of a .dockerignore.
const maxDockerfile = 16 << 20

// Dockerfile is where the instructions come from.
type Dockerfile struct {
	Dir  string // folder that holds it; empty if Data does
	Name string // its name in Dir
	Data []byte // content that isn't in a file
}

// FindDockerfile returns the Dockerfile that a build of the folder dir uses. It
// is file, which has the form of -f, else Dockerfile in dir, else, for a Go
// module, the bare header. It refuses a file that doesn't exist, and a folder
// with nothing to build.
func FindDockerfile(dir, file string) (Dockerfile, error) {
	if file != "" {
		f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // to open a pipe would wait for its other end
		if err != nil {
			return Dockerfile{}, fmt.Errorf("failed to read dockerfile: %w", err)
		}
		f.Close()
		return Dockerfile{Dir: filepath.Dir(file), Name: filepath.Base(file)}, nil
	}
	for _, name := range []string{"Dockerfile", "dockerfile"} {
		_, err := os.Stat(filepath.Join(dir, name))
		if err == nil {
			return Dockerfile{Dir: dir, Name: name}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Dockerfile{}, fmt.Errorf("failed to read dockerfile: %w", err)
		}
	}
	for _, name := range []string{"go.mod", "go.work"} {
		if exists(filepath.Join(dir, name)) {
			return Dockerfile{Name: "Dockerfile", Data: []byte(Header)}, nil
		}
	}
	return Dockerfile{}, fmt.Errorf("failed to read dockerfile: %s %w: give the folder of a Go module, or a Dockerfile with -f", dir, errNothing)
}

var errNothing = errors.New("has neither a Dockerfile nor a go.mod")

// findDockerfile calls FindDockerfile for a context that is a folder. If there
// is nothing to build, the error names the subfolders that have a module.
func findDockerfile(o Options) (Dockerfile, error) {
	df, err := FindDockerfile(o.Context, o.File)
	if errors.Is(err, errNothing) {
		if others := planner.OtherContexts(os.DirFS(o.Context), o.Again); others != "" {
			err = fmt.Errorf("failed to read dockerfile: %s %w: name the folder of a Go module: %s", o.Context, errNothing, others)
		}
	}
	return df, err
}

// addInputs sets the build context and the Dockerfile.
func addInputs(so *client.SolveOpt, o Options, h Host) error {
	switch {
	case o.Context == "-" && o.File == "-":
		return errors.New("invalid argument: can't use stdin for both build context and dockerfile")
	case o.Context == "-":
		return addStdinContext(so, o, h)
	case isDir(o.Context):
		return addDirContext(so, o, h)
	case isRemote(o.Context):
		return addRemoteContext(so, o, h)
	}
	if exists(o.Context) {
		return fmt.Errorf("unable to prepare context: path %q isn't a folder", o.Context)
	}
	return fmt.Errorf("unable to prepare context: path %q not found", o.Context)
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

func addDirContext(so *client.SolveOpt, o Options, h Host) error {
	dir, err := openDir(o.Context)
	if err != nil {
		return fmt.Errorf("unable to prepare context: %w", err)
	}
	so.LocalMounts["context"] = dir
	so.SharedKey = sharedKey(o.Context)
	if o.File == "-" {
		return addStdinDockerfile(so, h.Stdin)
	}
	df, err := findDockerfile(o)
	if err != nil {
		return err
	}
	return addDockerfile(so, df)
}

// addRemoteContext passes the URL of the context to the builder, which fetches
// it. The Dockerfile is looked for there, unless -f is standard input or an
// absolute path.
func addRemoteContext(so *client.SolveOpt, o Options, h Host) error {
	so.FrontendAttrs["context"] = o.Context
	switch {
	case o.File == "-":
		so.FrontendAttrs["dockerfilekey"] = "dockerfile"
		return addStdinDockerfile(so, h.Stdin)
	case filepath.IsAbs(o.File):
		so.FrontendAttrs["dockerfilekey"] = "dockerfile"
		df, err := FindDockerfile("", o.File)
		if err != nil {
			return err
		}
		return addDockerfile(so, df)
	}
	so.FrontendAttrs["filename"] = "Dockerfile"
	if o.File != "" {
		so.FrontendAttrs["filename"] = o.File
	}
	return nil
}

// addStdinContext reads standard input, either as an archive, which is the
// context, or as a Dockerfile with an empty context.
func addStdinContext(so *client.SolveOpt, o Options, h Host) error {
	in := bufio.NewReaderSize(h.Stdin, 1024)
	head, err := in.Peek(1024)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read standard input: %w", err)
	}
	if len(head) == 0 {
		return errors.New("unable to prepare context: standard input is empty: pipe a Dockerfile or a tar archive into it")
	}
	if isArchive(head) {
		up := uploadprovider.New()
		so.FrontendAttrs["context"] = up.Add(io.NopCloser(in))
		so.Session = append(so.Session, up)
		so.FrontendAttrs["filename"] = "Dockerfile"
		if o.File != "" {
			so.FrontendAttrs["filename"] = o.File
		}
		return nil
	}
	if o.File != "" {
		return errors.New("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
	}
	so.LocalMounts["context"] = memFS{}
	return addStdinDockerfile(so, in)
}

func addStdinDockerfile(so *client.SolveOpt, in io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(in, maxDockerfile+1))
	if err != nil {
		return fmt.Errorf("failed to read dockerfile from standard input: %w", err)
	}
	if len(data) > maxDockerfile {
		return fmt.Errorf("failed to read dockerfile from standard input: larger than %d MiB", maxDockerfile>>20)
	}
	return addDockerfile(so, Dockerfile{Name: "Dockerfile", Data: data})
}

func addDockerfile(so *client.SolveOpt, df Dockerfile) error {
	so.FrontendAttrs["filename"] = df.Name
	if df.Dir == "" {
		so.LocalMounts["dockerfile"] = memFS{name: df.Name, data: df.Data}
		return nil
	}
	dir, err := openDir(df.Dir)
	if err != nil {
		return fmt.Errorf("failed to read dockerfile: %w", err)
	}
	so.LocalMounts["dockerfile"] = dir
	return nil
}

// isArchive reports whether the first bytes are those of a tar archive, plain or compressed.
func isArchive(head []byte) bool {
	for _, magic := range []string{"BZh", "\x1f\x8b\x08", "\xfd7zXZ\x00"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	return err == nil
}
