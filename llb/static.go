package larder

import (
	"time"

	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/util/system"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// NonRoot is the user and group that the static base runs as.
const NonRoot = "65532:65532"

// Static returns a tree with exactly what a static binary needs at run time: CA roots, time zones, users and /tmp. The
// time zones come from a toolchain.
func (b Builder) Static(toolchain llb.State) llb.State {
	return b.step("[static] make the static base",
		&step.Static{ZoneInfo: step.In + "/zoneinfo.zip", Out: step.Out},
		llb.AddMount(step.In, toolchain, llb.Readonly, llb.SourcePath(step.GoRoot+"/lib/time")))
}

// StaticImage returns the image config of the static base for a target platform.
func StaticImage(target Platform) dockerspec.DockerOCIImage {
	img := image(target)
	created := time.Unix(0, 0).UTC()
	img.History = []ocispecs.History{{Created: &created, CreatedBy: "larder: CA roots, time zones, users"}}
	img.Config.User = NonRoot
	img.Config.WorkingDir = "/home/nonroot"
	img.Config.Env = []string{"PATH=" + system.DefaultPathEnv(target.OS), "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}
	return img
}

// GoImage returns the image config of a go stage. The stage runs on the builder's platform, and compiles for a target
// platform.
func GoImage(build, target Platform) dockerspec.DockerOCIImage {
	img := image(build)
	img.Config.WorkingDir = "/go"
	img.Config.Env = GoEnv(target)
	return img
}

func image(p Platform) dockerspec.DockerOCIImage {
	var img dockerspec.DockerOCIImage
	img.Platform = p
	img.RootFS = ocispecs.RootFS{Type: "layers"}
	return img
}
