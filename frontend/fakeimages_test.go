package frontend

import (
	"encoding/json"

	"github.com/moby/buildkit/util/system"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// A fakeImage is an image in the registry of a fakeBuilder.
type fakeImage struct {
	missing   bool
	missingOn string // an architecture
	becomes   string // what a source policy makes of it
	raw       string // a config, as it stands
	edit      func(*dockerspec.DockerOCIImage)
}

func onbuild(triggers ...string) fakeImage {
	return fakeImage{edit: func(img *dockerspec.DockerOCIImage) { img.Config.OnBuild = triggers }}
}

// fakeImages are the images that have something special, by the last part of their name.
var fakeImages = map[string]fakeImage{
	"missing":      {missing: true},
	"missingarm":   {missingOn: "arm64"},
	"moved":        {becomes: "registry.example/elsewhere:2"},
	"webbed":       {becomes: "https://files.example/root.tar"},
	"broken":       {raw: "{"},
	"onbuild":      onbuild("COPY . /src", "RUN make"),
	"onbuildfrom":  onbuild("COPY --from=registry.example/tools /bin/tool /bin/tool"),
	"onbuildstage": onbuild("COPY --from=assets /a /a"),
	"onbuildmount": onbuild("RUN --mount=type=bind,from=assets,target=/a ls /a"),
	"onbuildarg":   onbuild("ARG VERSION=1", "ENV VERSION=$VERSION", "LABEL version=$VERSION"),
	"onbuildbad":   onbuild("FROB x"),
	"onbuildempty": onbuild(""),
	"layerless":    {edit: func(img *dockerspec.DockerOCIImage) { img.RootFS.DiffIDs = nil }},
	"pathless":     {edit: func(img *dockerspec.DockerOCIImage) { img.Config.Env = nil }},
	"foreign":      {edit: func(img *dockerspec.DockerOCIImage) { img.Architecture, img.Variant = "s390x", "" }},
	"nanoserver": {edit: func(img *dockerspec.DockerOCIImage) {
		img.OS, img.Architecture, img.OSVersion = "windows", "amd64", "10.0.20348.1"
		img.Config.Env, img.Config.User = nil, "ContainerUser"
	}},
	"scanner":    {edit: func(img *dockerspec.DockerOCIImage) { img.Config.Entrypoint = []string{"/bin/scan"} }},
	"cmdless":    {edit: func(img *dockerspec.DockerOCIImage) { img.Config.Cmd = nil }},
	"configured": {edit: configured},
}

func configured(img *dockerspec.DockerOCIImage) {
	img.Config.User, img.Config.WorkingDir = "app:staff", "/srv/app"
	img.Config.Env = append(img.Config.Env, "LANG=C.UTF-8", "EMPTY=", "A=from-base")
	img.Config.Entrypoint, img.Config.Cmd = []string{"/entry"}, []string{"serve"}
	img.Config.Labels = map[string]string{"a": "1", "b": "2"}
	img.Config.Volumes = map[string]struct{}{"/data": {}}
	img.Config.ExposedPorts = map[string]struct{}{"80/tcp": {}}
	img.Config.StopSignal, img.Config.Shell = "SIGINT", []string{"/bin/bash", "-c"}
	img.Config.Healthcheck = &dockerspec.HealthcheckConfig{Test: []string{"CMD", "true"}}
}

func imageNamed(name string) fakeImage { return fakeImages[name] }

// config returns the image's config for a platform.
func (i fakeImage) config(p ocispecs.Platform) ([]byte, error) {
	if i.raw != "" {
		return []byte(i.raw), nil
	}
	img := dockerspec.DockerOCIImage{Image: ocispecs.Image{
		Platform: p,
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("layer")}},
		History:  []ocispecs.History{{CreatedBy: "base"}},
	}}
	img.Config.Env = []string{"PATH=" + system.DefaultPathEnvUnix}
	img.Config.Cmd = []string{"/bin/sh"}
	if i.edit != nil {
		i.edit(&img)
	}
	return json.Marshal(img)
}
