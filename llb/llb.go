// Package larder makes the states that Larder adds to a build: toolchains, module caches, binaries and the static base.
// A pure function makes each state from values; nothing here talks to a builder.
//
// Steps run Larder's own static binary (package internal/inbuild) on the builder's platform, and never a shell. Only
// steps that fetch have a network.
package larder

import (
	"path"

	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Builder has what all of Larder's steps of a build share.
type Builder struct {
	Helper     llb.State         // holds Larder's static binary for the builder's platform
	HelperPath string            // the binary's path in Helper
	Platform   ocispecs.Platform // the builder's platform
	NoCache    bool              // run every step anew
	Merge      bool              // the builder can merge layers
	ByVertex   bool              // the builder can leave the content of a mount out of a step's key
	Proxy      *llb.ProxyEnv     // HTTP_PROXY and the like, for steps that fetch; never part of a key
	Namespace  string            // of cache mounts, as build arg BUILDKIT_CACHE_MOUNT_NS has it; may be empty
}

// cacheID returns the id of a cache mount of Larder's own. No Dockerfile can name it: the id of a mount in a Dockerfile
// begins with the namespace and a slash, and this one has more before the namespace.
func (b Builder) cacheID(name string) string { return "larder:" + b.Namespace + "/" + name }

// At returns a state that holds Larder's binary at a path.
func (b Builder) At(name string) llb.State {
	if b.HelperPath == name {
		return b.Helper
	}
	return llb.Scratch().Platform(b.Platform).File(llb.Copy(b.Helper, b.HelperPath, name), llb.WithCustomName("[internal] copy Larder's own steps"))
}

// step runs one in-build step in an otherwise empty root, and returns what it writes to step.Out.
func (b Builder) step(name string, s step.Step, opts ...llb.RunOption) llb.State {
	return b.run(llb.Scratch(), name, s, opts...)
}

// trustBundle is the path where most images keep the certificate authorities that they trust.
const trustBundle = "/etc/ssl/certs/ca-certificates.crt"

// fetch runs an in-build step with a network. BuildKit's proxy network (its docs/proxy.md) answers such a step with
// certificates of its own authority. It adds that authority only to an existing trust bundle, so the root has an empty
// one.
func (b Builder) fetch(name string, s step.Step, opts ...llb.RunOption) llb.State {
	root := llb.Scratch().Platform(b.Platform).File(llb.Mkdir(path.Dir(trustBundle), 0o755, llb.WithParents(true)).Mkfile(trustBundle, 0o644, nil),
		llb.WithCustomName("[internal] make a place for certificate authorities"))
	return b.run(root, name, s, append([]llb.RunOption{b.network()}, opts...)...)
}

// run runs an in-build step in a root file system, and returns what it writes to step.Out.
func (b Builder) run(root llb.State, name string, s step.Step, opts ...llb.RunOption) llb.State {
	return b.runOnto(llb.Scratch().Platform(b.Platform), root, name, s, opts...)
}

// runOnto is like run, but its output begins with a state. What the step writes comes in a layer above that.
func (b Builder) runOnto(out, root llb.State, name string, s step.Step, opts ...llb.RunOption) llb.State {
	opts = append([]llb.RunOption{
		llb.Args(append([]string{path.Join(step.Dir, path.Base(b.HelperPath))}, step.Args(s)...)),
		llb.AddMount(step.Dir, b.Helper, llb.Readonly, llb.SourcePath(path.Dir(b.HelperPath))),
		llb.WithCustomName(name),
		llb.Network(pb.NetMode_NONE),
	}, opts...)
	if b.NoCache {
		opts = append(opts, llb.IgnoreCache)
	}
	var below []llb.MountOption
	if out.Output() != nil {
		below = b.byVertex()
	}
	return root.Platform(b.Platform).Run(opts...).AddMount(step.Out, out, below...)
}

// made mounts the output of other steps: modules or compiled packages. If the builder allows that, the step's key has
// the vertices of those steps instead of the content. To read all of the content for a key would take seconds.
func (b Builder) made(dir string, st llb.State) llb.RunOption {
	return llb.AddMount(dir, st, append(b.byVertex(), llb.Readonly)...)
}

func (b Builder) byVertex() []llb.MountOption {
	if !b.ByVertex {
		return nil
	}
	return []llb.MountOption{llb.ContentCache(llb.MountContentCacheOff)}
}

// network gives a step a network: the builder's network and its HTTP proxy. If the build has a secret called ca, the
// step also trusts the roots in that.
func (b Builder) network() llb.RunOption {
	opts := []llb.RunOption{
		llb.Network(pb.NetMode_UNSET),
		llb.AddSecret("/run/secrets/ca", llb.SecretID("ca"), llb.SecretOptional),
	}
	if b.Proxy != nil {
		opts = append(opts, llb.WithProxy(*b.Proxy))
	}
	return runOptions(opts)
}

// Names of the build's secrets that fetch steps get: see internal/inbuild.
var (
	proxySecrets = []string{"netrc", "goauth"}          // for module proxies
	gitSecrets   = []string{"gitconfig", "known_hosts"} // for version control, which takes those of proxies, too
)

// secrets mounts the build's secrets of these names at /run/secrets/ID, if the build has them.
func secrets(ids []string) llb.RunOption {
	var opts runOptions
	for _, id := range ids {
		opts = append(opts, llb.AddSecret("/run/secrets/"+id, llb.SecretID(id), llb.SecretOptional))
	}
	return opts
}

// goSettings passes settings of the go command to a step. pairs are names and values in turn. They are passed in the
// environment, since BuildKit prints the arguments of a step that fails, and a proxy's URL may hold a password.
func goSettings(pairs ...string) llb.RunOption {
	var opts runOptions
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			opts = append(opts, llb.AddEnv(pairs[i], pairs[i+1]))
		}
	}
	return opts
}

// runOptions combines several options into one.
type runOptions []llb.RunOption

// SetRunOption implements llb.RunOption.
func (o runOptions) SetRunOption(ei *llb.ExecInfo) {
	for _, opt := range o {
		opt.SetRunOption(ei)
	}
}

// file makes a state that holds one file.
func (b Builder) file(name, label string, data []byte) llb.State {
	return llb.Scratch().Platform(b.Platform).File(llb.Mkfile(name, 0o644, data), llb.WithCustomName(label))
}
