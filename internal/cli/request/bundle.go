package request

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/planner"
)

// setBundle tells the frontend which bundle the build uses, so that the frontend can attest it.
func (r *Request) setBundle(_ context.Context, o Options, _ Host) error {
	if o.Bundle == nil {
		return nil
	}
	data, err := json.Marshal(o.Bundle)
	r.solve.FrontendAttrs["larder-bundle"] = string(data)
	return err
}

// ImageContexts returns the images of the build's Dockerfile that come from outside, as planner.ImageContexts does. If
// the Dockerfile is in a repository or an archive instead of on this machine, known is false. Later readers of h.Stdin
// still get the input that it reads.
func ImageContexts(ctx context.Context, o Options, h *Host) (images []string, known bool, err error) {
	df, known, err := dockerfileHere(ctx, o, h)
	if err != nil || !known {
		return nil, known, err
	}
	req := planner.Request{BuildPlatform: platforms.Format(platforms.DefaultSpec()), Contexts: map[string]bool{}}
	if req.Platforms, err = parsePlatforms(o.Platforms); err != nil {
		return nil, true, err
	}
	if len(req.Platforms) == 0 {
		req.Platforms = []string{req.BuildPlatform}
	}
	if req.BuildArgs, err = BuildArgs(o.BuildArgs, h.Env); err != nil {
		return nil, true, err
	}
	contexts, err := ParseContexts(o.BuildContexts)
	for name := range contexts {
		req.Contexts[name] = true
	}
	return planner.ImageContexts(df.Name, df.Data, req), true, err
}

// dockerfileHere reads the Dockerfile. If it isn't on this machine, known is false.
func dockerfileHere(ctx context.Context, o Options, h *Host) (df Dockerfile, known bool, err error) {
	switch {
	case o.File == "-" || o.Context == "-" && o.File == "":
		in := bufio.NewReaderSize(h.Stdin, 1024)
		h.Stdin = in
		head, err := in.Peek(1024)
		if err != nil && !errors.Is(err, io.EOF) || o.Context == "-" && isArchive(head) {
			return df, false, nil // the error comes again
		}
		data, err := io.ReadAll(io.LimitReader(in, maxDockerfile))
		h.Stdin = io.MultiReader(bytes.NewReader(data), in)
		return Dockerfile{Name: "Dockerfile", Data: data}, err == nil, err
	case o.Context == "-":
		return df, false, nil
	case !isDir(o.Context) && isRemote(o.Context):
		return df, false, nil
	}
	df, err = readDockerfile(ctx, o, *h)
	return df, err == nil, err
}
