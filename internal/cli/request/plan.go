package request

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"github.com/containerd/platforms"
)

// Inputs is what a plan is made from when no builder is used.
type Inputs struct {
	Dockerfile    []byte
	Filename      string
	Dir           string // the folder of this machine that has the Dockerfile; "" if none has
	Ignore        []byte // the .dockerignore file that counts, if there is one
	Platforms     []string
	BuildPlatform string
	BuildArgs     map[string]string
	Contexts      map[string]string // named contexts: a folder's path, or a URL
	VCS           map[string]string // source, revision and version, each if it is known, and what package commit reads if it counts
}

// PlanInputs reads the options and the files that larder plan needs: the
// same Dockerfile, arguments and contexts that larder build would use. The
// context has to be a folder.
func PlanInputs(ctx context.Context, o Options, h Host) (in Inputs, err error) {
	if !isDir(o.Context) {
		if exists(o.Context) || isRemote(o.Context) || o.Context == "-" {
			return in, fmt.Errorf("a plan is made of a folder, and %q isn't one", o.Context)
		}
		return in, fmt.Errorf("unable to prepare context: path %q not found", o.Context)
	}
	df, err := readDockerfile(ctx, o, h)
	if err != nil {
		return in, err
	}
	in.Filename, in.Dir, in.Dockerfile = df.Name, df.Dir, df.Data
	if in.Ignore, err = readIgnore(ctx, o.Context, df); err != nil {
		return in, err
	}
	if in.Platforms, err = parsePlatforms(o.Platforms); err != nil {
		return in, err
	}
	builder := platforms.DefaultSpec()
	if runtime.GOOS != "linux" {
		builder.OS = "linux" // builders are
	}
	in.BuildPlatform = platforms.Format(builder)
	if in.BuildArgs, err = BuildArgs(o.BuildArgs, h.Env); err != nil {
		return in, err
	}
	in.VCS = h.Commits.facts(ctx, o.Context, mayStamp(in.BuildArgs["GOFLAGS"], string(in.Dockerfile)))
	if in.Contexts, err = ParseContexts(o.BuildContexts); err != nil {
		return in, err
	}
	proxies, err := FileProxies(in.BuildArgs["GOPROXY"])
	for name, path := range proxies {
		if _, given := in.Contexts[name]; !given {
			in.Contexts[name] = path
		}
	}
	return in, err
}

// readDockerfile finds the Dockerfile and reads it. Its folder is empty if the Dockerfile isn't in a folder. As in a
// build, a symbolic link to a file outside its folder is refused.
func readDockerfile(ctx context.Context, o Options, h Host) (df Dockerfile, err error) {
	if o.File == "-" {
		data, err := io.ReadAll(io.LimitReader(h.Stdin, maxDockerfile))
		return Dockerfile{Name: "Dockerfile", Data: data}, err
	}
	if df, err = findDockerfile(o); err != nil || df.Dir == "" {
		return df, err
	}
	dir, err := OpenTree(ctx, df.Dir)
	if err != nil {
		return df, fmt.Errorf("failed to read dockerfile: %w", err)
	}
	defer dir.Close()
	if df.Data, err = readBounded(dir, df.Name, maxDockerfile); err != nil {
		return df, fmt.Errorf("failed to read dockerfile: %w", err)
	}
	return df, nil
}

// readIgnore reads the ignore file that BuildKit would read: the Dockerfile's own, beside it, or the context's.
func readIgnore(ctx context.Context, folder string, df Dockerfile) ([]byte, error) {
	if df.Dir != "" {
		data, err := readIfThere(ctx, df.Dir, df.Name+".dockerignore")
		if data != nil || err != nil {
			return data, err
		}
	}
	return readIfThere(ctx, folder, ".dockerignore")
}

// readIfThere reads a file of a folder. It returns nil if the file is missing.
func readIfThere(ctx context.Context, folder, name string) ([]byte, error) {
	dir, err := OpenTree(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	data, err := readBounded(dir, name, maxDockerfile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
