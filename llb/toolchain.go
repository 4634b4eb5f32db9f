package larder

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/redact"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"
)

// A ToolchainSource says where a toolchain's zip comes from. One of its fields is set.
type ToolchainSource struct {
	Folder *llb.State // holds the zip, at Path
	Path   string

	Proxy string // the URL of a module proxy that everybody may ask, for a toolchain with a pin: BuildKit downloads it

	GOPROXY, GOSUMDB string // else: a step fetches it, and checks one without a pin with the checksum database
}

// Toolchain returns a root file system with a Go toolchain in step.GoRoot and the folders that the go command needs. It
// has no libc and no shell. The zip is checked against the pinned sum. If the toolchain has no pin, it is checked
// against the checksum database.
func (b Builder) Toolchain(t gotoolchain.Toolchain, from ToolchainSource) llb.State {
	pin, pinned := t.Pin(b.Platform.OS + "/" + b.Platform.Architecture)
	unpack := &step.UnpackToolchain{Zip: step.In + "/toolchain.zip", H1: pin.H1, Out: step.Out, Root: step.GoRoot[1:]}
	var zip llb.State
	switch {
	case from.Folder != nil && pinned:
		unpack.Zip = path.Join(step.In, from.Path)
		zip = *from.Folder
	case pinned && from.Proxy != "":
		zip = b.Download(t, from.Proxy)
	case pinned:
		zip = b.fetchToolchain(t, from)
	default:
		unpack.H1File = step.In + "/h1"
		zip = b.fetchToolchain(t, from)
	}
	return b.step("[go] check and unpack "+t.Version, unpack, llb.AddMount(step.In, zip, llb.Readonly))
}

// Download returns the zip of a pinned toolchain as toolchain.zip. BuildKit downloads it from a module proxy and checks
// its checksum.
func (b Builder) Download(t gotoolchain.Toolchain, proxy string) llb.State {
	platform := b.Platform.OS + "/" + b.Platform.Architecture
	pin, _ := t.Pin(platform)
	zip := proxy + "/" + gomod.ToolchainPath + "/@v/" + t.ModuleVersion(b.Platform.OS, b.Platform.Architecture) + ".zip"
	return llb.HTTP(zip, llb.Filename("toolchain.zip"), llb.Checksum(digest.NewDigestFromEncoded(digest.SHA256, pin.SHA256)),
		llb.WithCustomName("[go] download "+t.Version+" for "+platform+" from "+redact.URL(proxy)))
}

// fetchToolchain downloads a toolchain with the build's credentials. If the toolchain has no pin, it asks the checksum
// database for its sum.
func (b Builder) fetchToolchain(t gotoolchain.Toolchain, from ToolchainSource) llb.State {
	platform := b.Platform.OS + "/" + b.Platform.Architecture
	pin, _ := t.Pin(platform)
	fetch := &step.FetchToolchain{Version: t.Version, Platform: platform, Out: step.Out, H1: pin.H1}
	opts := []llb.RunOption{secrets(proxySecrets), goSettings("GOPROXY", from.GOPROXY, "GOSUMDB", from.GOSUMDB)}
	if from.Folder != nil {
		opts = append(opts, llb.AddMount(step.In, *from.Folder, llb.Readonly))
	}
	return b.fetch("[go] fetch "+t.Version, fetch, opts...)
}

// GoEnv returns the environment of a go stage that compiles for a target platform: gomod.OfflineEnv, and the paths of
// go's folders.
func GoEnv(target Platform) []string {
	env := slices.Concat([]string{
		"PATH=" + step.GoRoot + "/bin:/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"GOPATH=/go",
		"GOMODCACHE=" + step.ModCache,
		"GOCACHE=" + step.GoCache,
	}, gomod.OfflineEnv(), []string{"GOFLAGS=-mod=readonly", "CGO_ENABLED=0"})
	return append(env, targetEnv(target)...)
}

// TargetFile returns a state with one file, which has the go command's variables for a target platform, one on each
// line.
func TargetFile(name string, target Platform) llb.State {
	return llb.Scratch().File(llb.Mkfile(name, 0o444, []byte(strings.Join(targetEnv(target), "\n")+"\n"), llb.WithCreatedTime(time.Unix(0, 0))),
		llb.WithCustomName("[go] set the target platform"))
}

func targetEnv(target Platform) []string {
	env := []string{"GOOS=" + target.OS, "GOARCH=" + target.Architecture}
	switch {
	case target.Architecture == "arm" && target.Variant != "":
		env = append(env, "GOARM="+target.Variant[1:])
	case target.Architecture == "amd64" && target.Variant != "":
		env = append(env, "GOAMD64="+target.Variant)
	case target.Architecture == "arm64" && target.Variant != "":
		version := target.Variant
		if !strings.Contains(version, ".") {
			version += ".0" // as GOARM64 has it: v9.0
		}
		env = append(env, "GOARM64="+version)
	}
	return env
}
