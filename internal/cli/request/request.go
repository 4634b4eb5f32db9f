package request

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/tonistiigi/fsutil"
)

// Request is a build whose options were checked. Its outputs
// are not on disk before Finish.
type Request struct {
	// Call is the question to the frontend, if this isn't a build; nil for a build.
	Call *Call

	solve    client.SolveOpt
	exports  []*export
	tags     string
	platform string // of the binary for the in-build steps
}

// New checks the options and opens what they name: contexts, Dockerfile,
// secrets. It reads the machine's file system but writes nothing, and talks to
// no builder. An error names the flag, file or folder that is wrong.
func New(ctx context.Context, o Options, h Host) (*Request, error) {
	if o.Context == "" {
		return nil, errors.New(`please specify build context (e.g. "." for the current directory)`)
	}
	r := &Request{solve: client.SolveOpt{
		FrontendAttrs: map[string]string{},
		LocalMounts:   map[string]fsutil.FS{},
	}}
	steps := []func(context.Context, Options, Host) error{
		r.setFlags, r.setBuildArgs, r.setOutputs, r.setSources, r.setBundle, r.setHost,
	}
	for _, step := range steps {
		if err := step(ctx, o, h); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// setFlags sets the attributes that follow from the flags alone.
func (r *Request) setFlags(_ context.Context, o Options, _ Host) (err error) {
	attrs := r.solve.FrontendAttrs
	if r.Call, err = parseCall(o.Call); err != nil {
		return err
	}
	if r.Call != nil {
		attrs["requestid"] = "frontend." + r.Call.Name
		r.solve.Internal = true
	}
	platforms, err := parsePlatforms(o.Platforms)
	if err != nil {
		return err
	}
	hosts, err := parseHosts(o.AddHosts)
	if err != nil {
		return err
	}
	shm, ulimits, err := parseLimits(o)
	if err != nil {
		return err
	}
	for k, v := range map[string]string{
		"platform": strings.Join(platforms, ","), "add-hosts": hosts, "target": o.Target,
		"no-cache": strings.Join(o.NoCacheFilter, ","), "shm-size": shm, "ulimit": ulimits,
	} {
		if v != "" {
			attrs[k] = v
		}
	}
	if o.NoCache {
		attrs["no-cache"] = ""
	}
	if o.Pull {
		attrs["image-resolve-mode"] = pb.AttrImageResolveModeForcePull
	}
	labels, err := pairs("--label", o.Labels, nil)
	if err != nil {
		return err
	}
	setPrefixed(attrs, "label:", labels)
	attests, err := attestations(o)
	if err != nil {
		return err
	}
	maps.Copy(attrs, attests)
	if r.solve.AllowedEntitlements, err = parseAllow(o.Allow); err != nil {
		return err
	}
	return r.setNetwork(o.Network)
}

func (r *Request) setNetwork(mode string) error {
	switch mode {
	case "", "default":
		return nil
	case "host":
		r.solve.AllowedEntitlements = append(r.solve.AllowedEntitlements, entitlements.EntitlementNetworkHost.String())
	case "none":
	default:
		return fmt.Errorf("--network %q: one of default, none, host", mode)
	}
	r.solve.FrontendAttrs["force-network-mode"] = mode
	return nil
}

// setBuildArgs sets the build arguments and the caches. They belong together,
// because an argument can ask for a cache.
func (r *Request) setBuildArgs(_ context.Context, o Options, h Host) error {
	args, err := BuildArgs(o.BuildArgs, h.Env)
	if err != nil {
		return err
	}
	setPrefixed(r.solve.FrontendAttrs, "build-arg:", args)
	if h.Docker != nil {
		for k, v := range h.Docker.ParseProxyConfig("default", nil) {
			if !hasFold(args, k) {
				r.solve.FrontendAttrs["build-arg:"+k] = *v
			}
		}
	}
	if r.Call != nil {
		hidePasswords(r.solve.FrontendAttrs)
	}
	r.solve.CacheImports, r.solve.CacheExports, err = caches(o, args)
	return err
}

// hidePasswords removes users and passwords from the URLs of HTTP proxies, for a request that runs no step. Its answer,
// such as LLB, may show them.
func hidePasswords(attrs map[string]string) {
	for name, value := range attrs {
		arg, _ := strings.CutPrefix(strings.ToUpper(name), "BUILD-ARG:")
		at := strings.LastIndexByte(value, '@')
		if at < 0 || !slices.Contains([]string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY"}, arg) {
			continue
		}
		from := 0
		if i := strings.Index(value[:at], "://"); i >= 0 {
			from = i + len("://")
		}
		attrs[name] = value[:from] + "xxxxx" + value[at:]
	}
}

func (r *Request) setOutputs(_ context.Context, o Options, h Host) (err error) {
	if r.tags, err = parseTags(o.Tags); err != nil {
		return err
	}
	if r.exports, err = parseExports(o, h); err != nil {
		return err
	}
	ann, err := annotations(o.Annotations)
	if err != nil {
		return err
	}
	r.setImages()
	r.setCaches()
	return nameExports(r.exports, r.tags, ann)
}

// setSources sets the contexts, the Dockerfile and where they came from.
func (r *Request) setSources(ctx context.Context, o Options, h Host) error {
	if err := addInputs(&r.solve, o, h); err != nil {
		return err
	}
	contexts, err := ParseContexts(o.BuildContexts)
	if err != nil {
		return err
	}
	for name, spec := range contexts {
		if err := addContext(&r.solve, name, spec); err != nil {
			return err
		}
	}
	if err := addFileProxies(&r.solve, r.solve.FrontendAttrs["build-arg:GOPROXY"]); err != nil {
		return err
	}
	if isDir(o.Context) {
		setPrefixed(r.solve.FrontendAttrs, "vcs:", h.Commits.facts(ctx, o.Context, stamps(r.solve)))
	}
	return nil
}

// setHost adds what the build takes from the machine: credentials, secrets, SSH agents and Larder's binary.
func (r *Request) setHost(_ context.Context, o Options, h Host) (err error) {
	if err := addSession(&r.solve, o, h); err != nil {
		return err
	}
	if err := addPolicy(&r.solve, h.Env); err != nil {
		return err
	}
	r.platform, err = addInBuild(&r.solve, h.Executable)
	return err
}

// SolveOpt returns the options of the solve for the builder b, and a warning
// for the user if there is one. The caller calls Finish afterwards, whatever
// happens.
func (r *Request) SolveOpt(b Builder) (opt client.SolveOpt, warning string, err error) {
	if b.Platform != "" && b.Platform != r.platform {
		return opt, "", fmt.Errorf("the builder is %s, but larder's binary for the steps inside the build is %s: "+
			"put larder-frontend for %s beside larder", b.Platform, r.platform, b.Platform)
	}
	opt = r.solve
	opt.FrontendAttrs = maps.Clone(opt.FrontendAttrs)
	if _, set := opt.FrontendAttrs["image-resolve-mode"]; b.DockerEngine && !set {
		opt.FrontendAttrs["image-resolve-mode"] = pb.AttrImageResolveModePreferLocal
	}
	if b.Embedded {
		opt.CacheExports = slices.Clone(opt.CacheExports)
		for i, e := range opt.CacheExports {
			attrs := maps.Clone(e.Attrs)
			compressFast(attrs)
			opt.CacheExports[i].Attrs = attrs
		}
	}
	opt.Exports, warning, err = r.exportEntries(b)
	return opt, warning, err
}

// Folders returns the folders of this machine that the builder may read, by the names of their mounts.
func (r *Request) Folders() map[string]string {
	folders := map[string]string{}
	for name, mount := range r.solve.LocalMounts {
		if dir, ok := mount.(localDir); ok {
			folders[name] = dir.path
		}
	}
	return folders
}

// Finish ends the request. If solveErr is nil it puts the outputs in their
// places, otherwise it removes what was written. It returns solveErr, or the
// error on this machine that caused it.
func (r *Request) Finish(solveErr error) error {
	if solveErr != nil {
		return r.discard(solveErr)
	}
	for _, e := range r.exports {
		var err error
		switch {
		case e.file != nil:
			err = e.file.commit()
		case e.dir != nil:
			err = e.dir.commit()
		}
		if err != nil {
			return r.discard(err)
		}
	}
	return nil
}

func (r *Request) discard(cause error) error {
	for _, e := range r.exports {
		var err error
		switch {
		case e.file != nil:
			err = e.file.discard()
		case e.dir != nil:
			err = e.dir.discard(cause)
		}
		if err != nil {
			cause = err
		}
	}
	return cause
}

// setImages tells the frontend that an output is an image. BuildKit doesn't, and an image for another system than Linux
// may have to be refused.
func (r *Request) setImages() {
	foreign := func(platform string) bool { return platform != "" && !strings.HasPrefix(platform, "linux/") }
	if !slices.ContainsFunc(strings.Split(r.solve.FrontendAttrs["platform"], ","), foreign) {
		return
	}
	for _, e := range r.exports {
		switch e.entry.Type {
		case client.ExporterImage, client.ExporterOCI, client.ExporterDocker:
			r.solve.FrontendAttrs["larder-images"] = "true"
		}
	}
}

// setCaches tells the frontend that the build exports its cache. BuildKit tells it only about imports.
func (r *Request) setCaches() {
	if len(r.solve.CacheExports) > 0 {
		r.solve.FrontendAttrs["larder-cache-exports"] = "true"
	}
}

func setPrefixed(attrs map[string]string, prefix string, m map[string]string) {
	for k, v := range m {
		attrs[prefix+k] = v
	}
}

func hasFold(m map[string]string, key string) bool {
	for k := range m {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}
