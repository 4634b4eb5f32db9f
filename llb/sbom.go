package llb

import (
	"path"
	"strconv"

	"github.com/moby/buildkit/client/llb"
)

// SBOM returns a file, sbom.spdx.json, that is the bill of materials of a root file system. facts are sbom.Facts as JSON,
// and modules are module caches, from Builder.Modules, whose licences it names: what these are is told by a step for each,
// which no edit of the sources runs again. The image's own files don't run.
func (b Builder) SBOM(root llb.State, facts []byte, modules []llb.State, label string) llb.State {
	const factsDir, licencesDir = "/facts", "/licences"
	args := []string{"sbom", "--root", inDir, "--facts", factsDir + "/facts.json", "--out", outDir}
	opts := []llb.RunOption{
		llb.AddMount(inDir, root, llb.Readonly),
		llb.AddMount(factsDir, b.file("/facts.json", "[sbom] list what is known of the build", facts), llb.Readonly),
	}
	for i, m := range modules {
		licences := b.step("[modules] tell licences", []string{"licences", "--modules", inDir, "--out", outDir}, b.made(inDir, m))
		dir := path.Join(licencesDir, strconv.Itoa(i))
		args = append(args, "--licences", dir)
		opts = append(opts, llb.AddMount(dir, licences, llb.Readonly))
	}
	return b.step(label, args, opts...)
}
