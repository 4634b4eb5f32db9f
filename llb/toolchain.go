package llb

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/moby/buildkit/client/llb"
	"github.com/opencontainers/go-digest"
)

// A ToolchainSource is where a toolchain's zip comes from: one of its fields is set.
type ToolchainSource struct {
	Folder *llb.State // holds the zip, at Path
	Path   string

	Proxy string // the URL of a module proxy that everybody may ask, for a toolchain with a pin: BuildKit downloads it

	GOPROXY, GOSUMDB string // else: a step fetches it, and checks one without a pin with the checksum database
}

// Toolchain returns a root file system with a Go toolchain in GoRoot and nothing else but the folders that the go
// command needs: no libc, no shell. Its zip is checked against the pinned sum, or against the checksum database for a
// toolchain that has no pin.
func (b Builder) Toolchain(t gomod.Toolchain, from ToolchainSource) llb.State {
	pin, pinned := t.Pin(b.Platform.OS + "/" + b.Platform.Architecture)
	args := []string{"unpack-toolchain", "--zip", inDir + "/toolchain.zip", "--h1", pin.H1, "--out", outDir, "--root", GoRoot[1:]}
	var in llb.RunOption
	switch {
	case from.Folder != nil && pinned:
		args[2] = path.Join(inDir, from.Path)
		in = llb.AddMount(inDir, *from.Folder, llb.Readonly)
	case pinned && from.Proxy != "":
		in = llb.AddMount(inDir, b.Download(t, from.Proxy), llb.Readonly)
	case pinned:
		in = llb.AddMount(inDir, b.fetchToolchain(t, from), llb.Readonly)
	default:
		args = []string{"unpack-toolchain", "--zip", inDir + "/toolchain.zip", "--h1-file", inDir + "/h1", "--out", outDir, "--root", GoRoot[1:]}
		in = llb.AddMount(inDir, b.fetchToolchain(t, from), llb.Readonly)
	}
	return b.step("[go] check and unpack "+t.Version, args, in)
}

// Download returns the zip of a pinned toolchain, as toolchain.zip, taken from a module proxy by its checksum.
func (b Builder) Download(t gomod.Toolchain, proxy string) llb.State {
	platform := b.Platform.OS + "/" + b.Platform.Architecture
	pin, _ := t.Pin(platform)
	zip := proxy + "/" + gomod.ToolchainPath + "/@v/" + t.ModuleVersion(b.Platform.OS, b.Platform.Architecture) + ".zip"
	return llb.HTTP(zip, llb.Filename("toolchain.zip"), llb.Checksum(digest.NewDigestFromEncoded(digest.SHA256, pin.SHA256)),
		llb.WithCustomName("[go] download "+t.Version+" for "+platform+" from "+withoutUser(proxy)))
}

func withoutUser(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil {
		return "a proxy"
	}
	u.User = nil
	return u.String()
}

// fetchToolchain downloads a toolchain, with the build's credentials, and asks the checksum database for the sum of one
// that has no pin.
func (b Builder) fetchToolchain(t gomod.Toolchain, from ToolchainSource) llb.State {
	args := []string{"fetch-toolchain", "--version", t.Version, "--platform", b.Platform.OS + "/" + b.Platform.Architecture, "--out", outDir}
	opts := []llb.RunOption{b.network(), secrets(proxySecrets), goSettings("GOPROXY", from.GOPROXY, "GOSUMDB", from.GOSUMDB)}
	if from.Folder != nil {
		opts = append(opts, llb.AddMount(inDir, *from.Folder, llb.Readonly))
	}
	if pin, pinned := t.Pin(b.Platform.OS + "/" + b.Platform.Architecture); pinned {
		args = append(args, "--h1", pin.H1)
	}
	return b.step("[go] fetch "+t.Version, args, opts...)
}

// GoEnv returns the environment of a go stage that compiles for a target platform: that of gomod.OfflineEnv, and where
// things are.
func GoEnv(target Platform) []string {
	env := slices.Concat([]string{
		"PATH=" + GoRoot + "/bin:/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"GOPATH=/go",
		"GOMODCACHE=" + ModCache,
		"GOCACHE=" + GoCache,
	}, gomod.OfflineEnv(), []string{"GOFLAGS=-mod=readonly", "CGO_ENABLED=0"})
	return append(env, targetEnv(target)...)
}

// TargetFile returns a file that holds the variables of the go command for a target platform, a line for each.
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
