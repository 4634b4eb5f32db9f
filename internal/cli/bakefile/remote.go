package bakefile

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/docker/buildx/bake"
	"github.com/docker/buildx/build"
	"github.com/docker/buildx/util/urlutil"
	"github.com/larder-build/larder/internal/redact"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
)

// maxDefinition bounds one file of a definition that comes from a URL, as bake does.
const maxDefinition = 2 << 20

// defaultNames are the files that bake looks for.
var defaultNames = []string{
	"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml",
	"docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl",
}

// URL returns the place that the definition comes from: a git repository, an archive or a file. It is "" for this machine.
func (r Request) URL() string {
	if len(r.Targets) > 0 && urlutil.IsRemoteURL(r.Targets[0]) {
		return r.Targets[0]
	}
	return ""
}

// arguments returns the names of the targets, and what BAKE_CMD_CONTEXT is. As by bake, the first argument may be the URL
// of the definition, and the second one the URL of that variable.
func (r Request) arguments() (targets []string, cmdContext string) {
	targets, cmdContext = slices.Clone(r.Targets), "cwd://"
	if r.URL() == "" {
		return targets, cmdContext
	}
	targets = targets[1:]
	if len(targets) > 0 && urlutil.IsRemoteURL(targets[0]) {
		return targets[1:], targets[0]
	}
	return targets, cmdContext
}

// definitionFiles are the files of a definition, and where its contexts are.
type definitionFiles struct {
	files []bake.File
	input *bake.Input // what relative contexts are in; nil leaves them on this machine
	whole bool        // no context may be a folder of the input
}

// fetch reads files of the place at the definition's URL; no names mean the default ones that are there.
func (r Request) fetch(ctx context.Context, names []string) (f definitionFiles, err error) {
	url := r.URL()
	st, filename, err := place(url)
	if err != nil {
		return f, err
	}
	err = r.Fetch(ctx, url, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		ref, err := solve(ctx, gw, *st)
		if err != nil {
			return nil, err
		}
		if filename == "" {
			f.input = &bake.Input{State: st, URL: url}
			f.files, err = readNamed(ctx, ref, names)
			return nil, err
		}
		f.whole = true
		if f.files, err = readNamed(ctx, ref, []string{filename}); err == nil && !isArchive(f.files[0].Data) {
			f.files[0].Name = redact.URL(url)
			return nil, nil
		}
		unpacked := llb.Scratch().File(llb.Copy(*st, filename, "/", &llb.CopyInfo{AttemptUnpack: true}), llb.WithCustomName("[internal] unpack "+filename))
		if ref, err = solve(ctx, gw, unpacked); err != nil {
			return nil, err
		}
		f.input = &bake.Input{State: &unpacked, URL: url}
		f.files, err = readNamed(ctx, ref, names)
		return nil, err
	})
	if err != nil {
		return f, fmt.Errorf("the definition at %s: %w", redact.URL(url), err)
	}
	if len(f.files) == 0 {
		return f, fmt.Errorf("there is no bake definition at %s: name one with --file", redact.URL(url))
	}
	return f, nil
}

// place returns the state of what is at a URL. If that is one file and no git repository, filename is its name.
func place(url string) (st *llb.State, filename string, err error) {
	if st, ok, err := dockerui.DetectGitContext(url, nil); ok {
		return st, "", err
	}
	st, filename, ok := dockerui.DetectHTTPContext(url)
	if !ok {
		return nil, "", fmt.Errorf("%s: expected the URL of a git repository, an archive or a bake file", redact.URL(url))
	}
	return st, filename, nil
}

func solve(ctx context.Context, gw gateway.Client, st llb.State) (gateway.Reference, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res, err := gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// readNamed reads files of at most maxDefinition bytes each, or the first bytes of an archive. No names mean those of
// defaultNames that are there.
func readNamed(ctx context.Context, ref gateway.Reference, names []string) (files []bake.File, err error) {
	given := len(names) > 0
	if !given {
		names = defaultNames
	}
	for _, name := range names {
		if _, err := ref.StatFile(ctx, gateway.StatRequest{Path: name}); err != nil {
			if given {
				return nil, err
			}
			continue
		}
		data, err := ref.ReadFile(ctx, gateway.ReadRequest{Filename: name, Range: &gateway.FileRange{Length: maxDefinition + 1}})
		if err != nil {
			return nil, err
		}
		if len(data) > maxDefinition && !isArchive(data) {
			return nil, fmt.Errorf("%s has more than %d bytes: expected a bake definition", name, maxDefinition)
		}
		files = append(files, bake.File{Name: name, Data: data})
	}
	return files, nil
}

// isArchive reports whether data begins like what BuildKit unpacks: see dockerui.
func isArchive(data []byte) bool {
	for _, magic := range []string{"BZh", "\x1f\x8b\x08", "\xfd7zXZ\x00"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	_, err := tar.NewReader(bytes.NewReader(data)).Next()
	return err == nil && !errors.Is(err, io.EOF)
}

// checkContexts returns an error if a context is a folder inside of an archive, which BuildKit takes as a whole alone.
func (f definitionFiles) checkContexts(options map[string]build.Options) error {
	if !f.whole || f.input == nil {
		return nil
	}
	for name, o := range options {
		if o.Inputs.ContextState != nil {
			return fmt.Errorf("target %s: its context is a folder in an archive: put the definition where the context is, or unpack the archive", name)
		}
		for context, in := range o.Inputs.NamedContexts {
			if in.State != nil && !strings.HasPrefix(in.Path, linkPrefix) {
				return fmt.Errorf("target %s: the named context %s is a folder in an archive: unpack the archive", name, context)
			}
		}
	}
	return nil
}
