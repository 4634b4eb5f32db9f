package frontend

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// converts reports whether BuildKit's frontend converts the file, and so asks for its images. Otherwise it only reads
// the file.
func (b *build) converts() bool {
	return !slices.Contains([]string{targets.RequestTargets, subrequests.RequestSubrequestsDescribe}, b.client.opts["requestid"])
}

// image returns what a plan needs to know of a base image. The bool is false if the image can't be read; BuildKit's
// frontend reports the error.
func (b *build) image(ctx context.Context, name, platform string) (planner.ImageConfig, bool) {
	p, err := platforms.Parse(platform)
	if err != nil {
		return planner.ImageConfig{}, false
	}
	if b.client.opts["requestid"] != "" {
		p = b.buildPlatform() // the one that BuildKit's frontend answers for
	}
	img, err := b.imageConfig(ctx, name, sourceresolver.ResolveImageOpt{Platform: &p, ResolveMode: b.ui.ImageResolveMode.String()})
	if err != nil || img == nil {
		return planner.ImageConfig{}, false
	}
	return planner.ImageConfig{Env: img.Config.Env, User: img.Config.User, WorkingDir: img.Config.WorkingDir, Shell: img.Config.Shell}, true
}

func (b *build) imageConfig(ctx context.Context, name string, opt sourceresolver.ResolveImageOpt) (*dockerspec.DockerOCIImage, error) {
	nc, err := b.ui.NamedContext(name, dockerui.ContextOpt{Platform: opt.Platform, ResolveMode: opt.ResolveMode})
	if err != nil {
		return nil, err
	}
	if nc != nil {
		_, img, err := nc.Load(ctx)
		return img, err
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	prefix := "[" // as BuildKit's frontend has it, for it asks the same
	if b.ui.MultiPlatformRequested {
		prefix += platforms.FormatAll(*opt.Platform) + " "
	}
	_, _, data, err := b.client.ResolveImageConfig(ctx, reference.TagNameOnly(ref).String(), sourceresolver.Opt{
		LogName:  prefix + "internal] load metadata for " + reference.TagNameOnly(ref).String(),
		ImageOpt: &opt,
	})
	if err != nil {
		return nil, err
	}
	var img dockerspec.DockerOCIImage
	return &img, json.Unmarshal(data, &img)
}

// moduleImage reports whether a registry has an image of modules or of a toolchain. If the registry can't be asked,
// that is an error: such an image exists so that no other network is needed.
func (b *build) moduleImage(ctx context.Context, name string) (bool, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return false, err
	}
	_, _, _, err = b.client.ResolveImageConfig(ctx, ref.String(), sourceresolver.Opt{
		LogName:  "[modules] look for " + ref.String(),
		ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: b.ui.ImageResolveMode.String()},
	})
	if err != nil && strings.Contains(err.Error(), "not found") {
		return false, nil // the error has come through gRPC and is a text by now
	}
	return err == nil, err
}
