package request

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containerd/platforms"
)

// Inputs is what a plan is made from where no builder is asked.
type Inputs struct {
	Dockerfile    []byte
	Filename      string
	Platforms     []string
	BuildPlatform string
	BuildArgs     map[string]string
	Contexts      map[string]string // named contexts: a folder's path, or a URL
	VCS           map[string]string // source, revision and version, each if it is known
}

// PlanInputs reads what larder plan needs of the options and the machine: the
// same Dockerfile, arguments and contexts that larder build would use. The
// context has to be a folder.
func PlanInputs(ctx context.Context, o Options, h Host) (in Inputs, err error) {
	if !isDir(o.Context) {
		if exists(o.Context) || isRemote(o.Context) || o.Context == "-" {
			return in, fmt.Errorf("a plan is made of a folder, and %q isn't one", o.Context)
		}
		return in, fmt.Errorf("unable to prepare context: path %q not found", o.Context)
	}
	if in.Filename, in.Dockerfile, err = readDockerfile(o, h); err != nil {
		return in, err
	}
	if in.Platforms, err = parsePlatforms(o.Platforms); err != nil {
		return in, err
	}
	in.VCS = vcs(ctx, o.Context)
	builder := platforms.DefaultSpec()
	if runtime.GOOS != "linux" {
		builder.OS = "linux" // builders are
	}
	in.BuildPlatform = platforms.Format(builder)
	if in.BuildArgs, err = BuildArgs(o.BuildArgs, h.Env); err != nil {
		return in, err
	}
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

func readDockerfile(o Options, h Host) (name string, data []byte, err error) {
	if o.File == "-" {
		data, err = io.ReadAll(io.LimitReader(h.Stdin, maxDockerfile))
		return "Dockerfile", data, err
	}
	df, err := FindDockerfile(o.Context, o.File)
	if err != nil || df.Dir == "" {
		return df.Name, df.Data, err
	}
	data, err = os.ReadFile(filepath.Join(df.Dir, df.Name))
	if err != nil {
		return "", nil, fmt.Errorf("failed to read dockerfile: %w", err)
	}
	return df.Name, data, nil
}
