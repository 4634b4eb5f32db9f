package bakefile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/cli/request"
)

// linkPrefix is the prefix of a named context that is another target.
const linkPrefix = "target:"

// Options returns the options of larder build for a target, without the named contexts that are other targets: see
// Links. If the target has a setting that larder build lacks, the error names it.
func (d *Definition) Options(name string) (o request.Options, err error) {
	t, built := d.Targets[name], d.options[name]
	if what := d.unsupported(name); what != "" {
		return o, fmt.Errorf("larder bake has no %s: take it out of the definition, or build that target with docker buildx bake", what)
	}
	o = request.Options{
		Context: built.Inputs.ContextPath, File: d.file(name), Tags: t.Tags, Platforms: t.Platforms, Target: built.Target,
		BuildArgs: pairs(built.BuildArgs), Labels: pairs(built.Labels), Annotations: t.Annotations, AddHosts: built.ExtraHosts,
		NoCache: built.NoCache, NoCacheFilter: t.NoCacheFilter, Pull: built.Pull, Network: built.NetworkMode, Allow: t.Entitlements,
		Secrets: texts(built.SecretSpecs), SSH: texts(built.SSHSpecs), CacheFrom: texts(t.CacheFrom), CacheTo: texts(t.CacheTo), Outputs: texts(t.Outputs),
		Attests: texts(t.Attest), Ulimits: t.Ulimits,
	}
	if t.ShmSize != nil {
		o.ShmSize = *t.ShmSize
	}
	slices.Reverse(o.Attests) // of two of a type bake takes the first one, and larder build the last one
	if built.Inputs.DockerfileInline != "" {
		o.File = "-" // which the caller gives as the request's standard input: see Inline
	}
	if t.Call != nil && *t.Call != "build" {
		o.Call, o.Outputs, o.Tags = *t.Call, nil, nil // it only answers
	}
	if d.Linked(name) {
		o.Outputs, o.Tags = nil, nil
	}
	for name, spec := range t.Contexts {
		if !strings.HasPrefix(spec, linkPrefix) {
			o.BuildContexts = append(o.BuildContexts, name+"="+built.Inputs.NamedContexts[name].Path)
		}
	}
	slices.Sort(o.BuildContexts)
	return o, nil
}

// Inline returns the Dockerfile that a target has in the definition itself, or "".
func (d *Definition) Inline(name string) string { return d.options[name].Inputs.DockerfileInline }

// Links returns the named contexts of a target that are other targets, by the name of the context.
func (d *Definition) Links(name string) map[string]string {
	links := map[string]string{}
	for context, spec := range d.Targets[name].Contexts {
		if target, ok := strings.CutPrefix(spec, linkPrefix); ok {
			links[context] = target
		}
	}
	return links
}

// CheckOutputs returns an error if two targets would write one file, or one name of an image in a registry or an engine:
// only what the last of them made would be left.
func (d *Definition) CheckOutputs() error {
	writers := map[string]string{} // targets, by what they write
	for _, name := range d.Names() {
		for _, written := range d.written(name) {
			if other := writers[written]; other != "" && other != name {
				return fmt.Errorf("the targets %s and %s both write %s, and only one would be left: give one of them another name", other, name, written)
			}
			writers[written] = name
		}
	}
	return nil
}

// written lists the files and the names of images that a target writes. Several targets may write into one folder.
func (d *Definition) written(name string) (list []string) {
	o, err := d.Options(name)
	if err != nil {
		return nil // the error is reported where the target is built
	}
	for _, out := range d.Targets[name].Outputs {
		switch {
		case len(o.Outputs) == 0: // it only answers, or another target uses it
		case out.Destination != "" && out.Type != "local":
			list = append(list, out.Destination)
		case out.Type == "registry" || out.Type == "docker" || out.Type == "image" && out.Attrs["push"] == "true":
			names := o.Tags
			if out.Attrs["name"] != "" {
				names = strings.Split(out.Attrs["name"], ",")
			}
			for _, image := range names {
				list = append(list, "the image "+image)
			}
		}
	}
	return list
}

// unsupported returns the first key of a target that larder build doesn't support, or "".
func (d *Definition) unsupported(name string) string {
	switch t := d.Targets[name]; {
	case t.Resources != nil:
		return "resources"
	case len(t.Policy) > 0:
		return "policy"
	}
	return ""
}

func pairs(m map[string]string) (list []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+"="+m[k])
	}
	return list
}

func texts[T fmt.Stringer](list []T) (out []string) {
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}
