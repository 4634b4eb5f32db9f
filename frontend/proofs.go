package frontend

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/proof/materials"
	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/moby/buildkit/client/llb"
	commonexptypes "github.com/moby/buildkit/exporter/exptypes"
	"github.com/moby/buildkit/frontend/attestations"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/solver/result"
	"github.com/tonistiigi/go-csvvalue"
)

// bundleOpt is an option of a client whose build takes what it can from a bundle. Its value is a materials.Bundle, as
// JSON.
const bundleOpt = "larder-bundle"

const (
	spdxPredicate = "https://spdx.dev/Document" // of BuildKit's scanners, too: it runs none if there is one
	sbomCore      = "sbom"                      // as BuildKit calls the bill of the image itself
	sbomFile      = "sbom.spdx.json"

	cycloneDXPredicate = "https://cyclonedx.org/bom" // as in-toto has it
	cycloneDXFile      = "sbom.cdx.json"
)

// A proofChoice says which of Larder's attestations a build gets.
type proofChoice struct {
	all  map[string]map[string]string // as BuildKit reads them; none if the client asks for none
	sbom bool                         // Larder makes the bill of materials

	cycloneDX bool // in that format, too
}

// proofs reads which attestations the client asks for. If the file has anything of Go's, Larder makes the bill of
// materials, and doesn't tell BuildKit's frontend, which would fetch a scanner. If the client names a scanner, that one
// makes it.
func (b *build) proofs(plan *planner.Plan) (proofChoice, error) {
	opts := b.client.opts
	all, err := attestations.Parse(opts)
	if err != nil || opts["requestid"] != "" {
		return proofChoice{}, err
	}
	_, bill := all[attestations.KeyTypeSbom]
	scanned := namesGenerator(opts)
	_, offline := b.client.Client.(*guard)
	caps := b.client.BuildOpts().Caps
	switch {
	case bill && offline && scanned:
		return proofChoice{}, refused("the scanner that generator= names is an image that makes the SBOM in a step with a network: leave it out, and Larder makes it")
	case bill && offline && !plan.Go:
		return proofChoice{}, refused("the SBOM of a file that has nothing of Go's is made by a scanner, whose step has a network: build without --sbom")
	case !plan.Go || caps.Supports(gwpb.CapAttestations) != nil:
		return proofChoice{}, nil
	}
	if err := checkProxies(b.ui.BuildArgs, all); err != nil {
		return proofChoice{}, err
	}
	a := proofChoice{all: all, sbom: bill && !scanned}
	if a.sbom {
		if a.cycloneDX, err = wantsCycloneDX(all); err != nil {
			return proofChoice{}, err
		}
		maps.DeleteFunc(opts, func(name, _ string) bool { return isSBOMOpt(name) })
	}
	return a, nil
}

// wantsCycloneDX reads the format that the client asks for. SPDX is made in any case: BuildKit would have a scanner make it,
// and by it larder verify knows what is in an image.
func wantsCycloneDX(all map[string]map[string]string) (bool, error) {
	switch format := all[attestations.KeyTypeSbom]["format"]; format {
	case "", "spdx":
		return false, nil
	case "cyclonedx":
		return true, nil
	default:
		return false, fmt.Errorf("--sbom=format=%s: one of spdx, cyclonedx", format)
	}
}

// isSBOMOpt reports whether BuildKit reads an option as a request for a bill of materials.
func isSBOMOpt(name string) bool {
	for _, prefix := range []string{"attest:", "build-arg:BUILDKIT_ATTEST_"} {
		if kind, ok := strings.CutPrefix(name, prefix); ok && strings.EqualFold(kind, attestations.KeyTypeSbom) {
			return true
		}
	}
	return false
}

// namesGenerator reports whether the client names a scanner.
func namesGenerator(opts map[string]string) bool {
	for name, value := range opts {
		if !isSBOMOpt(name) {
			continue
		}
		fields, err := csvvalue.Fields(value, nil)
		if err == nil && slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, "generator=") }) {
			return true
		}
	}
	return false
}

// prove adds the attestations that the client asked for to a result: the bill of materials, and what the build was made
// of. Without such a request it adds none, because an attestation turns a plain image into an index.
func (b *build) prove(ctx context.Context, res *gateway.Result, plan *planner.Plan, a proofChoice) error {
	if len(a.all) == 0 {
		return nil
	}
	return eachPlatform(res, func(platform string, ref gateway.Reference) error {
		st, def, err := definition(ctx, ref)
		if err != nil {
			return fmt.Errorf("reading what the image for %s is made of: %w", platform, err)
		}
		found, err := materials.Find(def)
		if err != nil {
			return err
		}
		if err := b.attestMaterials(ctx, res, platform, found, a); err != nil {
			return fmt.Errorf("attesting what the image for %s is made of: %w", platform, err)
		}
		if !a.sbom {
			return nil
		}
		facts := sbom.Facts{Name: b.imageName(plan), Platform: platform, Larder: version(), Created: created(res, platform), Toolchains: toolchainFacts(found), CycloneDX: a.cycloneDX}
		if base, ok := materials.Base(def); ok {
			facts.Base = &sbom.Base{Name: base.Name, Digest: base.Digest}
		}
		if err := b.attestSBOM(ctx, res, platform, st, facts); err != nil {
			return fmt.Errorf("the SBOM for %s: %w", platform, err)
		}
		return nil
	})
}

// definition returns the state and the definition of a reference. They are empty for a result without files.
func definition(ctx context.Context, ref gateway.Reference) (llb.State, *pb.Definition, error) {
	st := llb.Scratch()
	if ref == nil {
		return st, &pb.Definition{}, nil
	}
	st, err := ref.ToState()
	if err != nil {
		return st, nil, err
	}
	def, err := st.Marshal(ctx)
	if err != nil {
		return st, nil, err
	}
	return st, def.ToPB(), nil
}

func (b *build) attestMaterials(ctx context.Context, res *gateway.Result, platform string, found materials.Report, a proofChoice) error {
	if said := b.client.opts[bundleOpt]; said != "" {
		if err := json.Unmarshal([]byte(said), &found.Bundle); err != nil {
			return fmt.Errorf("the option %s: %w", bundleOpt, err)
		}
	}
	found.Compiled = b.used(b.plan, platform)
	data, err := json.MarshalIndent(materials.NewPredicate(version(), platform, found), "", "  ")
	if err != nil {
		return err
	}
	file := llb.Scratch().File(llb.Mkfile("/"+materials.File, 0o644, data), llb.WithCustomName("[internal] attest what the image is made of"))
	return attach(ctx, b.client, res, platform, file, gateway.Attestation{
		Path: materials.File, Metadata: inlineOnly(a.all), InToto: result.InTotoAttestation{PredicateType: materials.PredicateType},
	})
}

func (b *build) attestSBOM(ctx context.Context, res *gateway.Result, platform string, root llb.State, facts sbom.Facts) error {
	data, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	var modules []llb.State
	for _, name := range slices.Sorted(maps.Keys(b.made.modules)) {
		modules = append(modules, b.made.modules[name].Merged())
	}
	bill := b.made.steps.SBOM(root, data, modules, "["+platform+"] list what is in the image")
	if facts.CycloneDX {
		// BuildKit doesn't know the format, so that it is told no reason.
		err := attach(ctx, b.client, res, platform, bill, gateway.Attestation{Path: cycloneDXFile, InToto: result.InTotoAttestation{PredicateType: cycloneDXPredicate}})
		if err != nil {
			return err
		}
	}
	return attach(ctx, b.client, res, platform, bill, gateway.Attestation{
		Path: sbomFile, InToto: result.InTotoAttestation{PredicateType: spdxPredicate},
		// By these BuildKit adds to each file which layer it is in.
		Metadata: map[string][]byte{
			result.AttestationReasonKey: []byte(result.AttestationReasonSBOM),
			result.AttestationSBOMCore:  []byte(sbomCore),
		},
	})
}

// imageName returns the image's name in the bill. Frontends don't know the image's tags.
func (b *build) imageName(plan *planner.Plan) string {
	name := cmp.Or(b.ui.Target, plan.Module, "image")
	if n := len(plan.Packages); n > 0 {
		name = plan.Packages[n-1].Name
	}
	return name
}

// created returns the build's SOURCE_DATE_EPOCH, or 0.
func created(res *gateway.Result, platform string) int64 {
	for _, key := range []string{commonexptypes.ExporterEpochKey + "/" + platform, commonexptypes.ExporterEpochKey} {
		if at, err := strconv.ParseInt(string(res.Metadata[key]), 10, 64); err == nil {
			return at
		}
	}
	return 0
}

func toolchainFacts(found materials.Report) []sbom.Toolchain {
	var list []sbom.Toolchain
	for _, t := range found.Toolchains {
		if release, version, ok := t.Release(); ok {
			list = append(list, sbom.Toolchain{Version: release, Module: version, H1: t.H1})
		}
	}
	return list
}
