package llb

import (
	"path"
	"strconv"

	"github.com/moby/buildkit/client/llb"
)

// SBOM returns a file, sbom.spdx.json, that is the bill of materials of a root file system. facts are sbom.Facts as JSON,
// and modules are module caches, from Builder.Modules, whose licences it names. The image's own files don't run.
func (b Builder) SBOM(root llb.State, facts []byte, modules []llb.State, label string) llb.State {
	const factsDir, modulesDir = "/facts", "/modules"
	args := []string{"sbom", "--root", inDir, "--facts", factsDir + "/facts.json", "--out", outDir}
	opts := []llb.RunOption{
		llb.AddMount(inDir, root, llb.Readonly),
		llb.AddMount(factsDir, b.file("/facts.json", "[sbom] list what is known of the build", facts), llb.Readonly),
	}
	for i, m := range modules {
		dir := path.Join(modulesDir, strconv.Itoa(i))
		args = append(args, "--modules", dir)
		opts = append(opts, b.made(dir, m))
	}
	return b.step(label, args, opts...)
}
