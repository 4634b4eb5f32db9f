package larder

import (
	"path"
	"strconv"

	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// SBOM returns a state with one file, sbom.spdx.json: the bill of materials of a root file system. If the facts ask for
// it, sbom.cdx.json is beside it. facts are sbom.Facts as JSON. modules are module caches from Builder.Modules, whose
// licences the bill names. A step for each module cache finds the licences, so that no edit of the sources runs it
// again. Programs of the image don't run.
func (b Builder) SBOM(root llb.State, facts []byte, modules []llb.State, label string) llb.State {
	const factsDir, licensesDir = "/facts", "/licences"
	s := &step.SBOM{Root: step.In, Facts: factsDir + "/facts.json", Out: step.Out}
	opts := []llb.RunOption{
		llb.AddMount(step.In, root, llb.Readonly),
		llb.AddMount(factsDir, b.file("/facts.json", "[sbom] list what is known of the build", facts), llb.Readonly),
	}
	for i, m := range modules {
		licenses := b.step("[modules] tell licences", &step.Licenses{Modules: step.In, Out: step.Out}, b.made(step.In, m))
		dir := path.Join(licensesDir, strconv.Itoa(i))
		s.Licenses = append(s.Licenses, dir)
		opts = append(opts, llb.AddMount(dir, licenses, llb.Readonly))
	}
	return b.step(label, s, opts...)
}
