package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strconv"

	"github.com/larder-build/larder/internal/proof/offline"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/attestations"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/result"
	"github.com/opencontainers/go-digest"
)

const (
	offlinePredicate = "https://larder.build/offline/v1" // the type of the attestation
	offlineFile      = "larder-offline.json"             // its name where a result is a folder
)

// A predicate lists what was checked before a result was made. It states that nothing in it uses a network, except as
// the policy allows. docs/guides/offline-check.md describes it.
type predicate struct {
	Larder     string         `json:"larder"` // version
	Platform   string         `json:"platform"`
	Definition digest.Digest  `json:"definition,omitempty"`
	Allowed    []string       `json:"allowed"`
	Sources    map[string]int `json:"sources"`
	Images     []string       `json:"images"`
	Steps      steps          `json:"steps"`
}

type steps struct {
	Network  int `json:"network"` // none: else there is no attestation
	Total    int `json:"total"`
	Insecure int `json:"insecure"`
	SSH      int `json:"ssh"`
	Replayed int `json:"replayed,omitempty"` // have a network that answers from what was recorded
}

// attest adds an attestation of what was checked to a result, for each platform. It does so only if the result has
// other attestations, because an attestation turns a plain image into an index.
func (g *guard) attest(ctx context.Context, res *gateway.Result) error {
	return eachPlatform(res, func(platform string, ref gateway.Reference) error {
		g.mu.Lock()
		report, ok := g.checked[ref]
		g.mu.Unlock()
		if !ok {
			return refused("the result for %s was not looked into", platform)
		}
		return g.attestPlatform(ctx, res, platform, report)
	})
}

// eachPlatform calls do with each platform of a result, and the reference that was made for it.
func eachPlatform(res *gateway.Result, do func(platform string, ref gateway.Reference) error) error {
	built, err := exptypes.ParsePlatforms(res.Metadata)
	if err != nil {
		return err
	}
	for _, p := range built.Platforms {
		ref, ok := res.FindRef(p.ID)
		if !ok {
			return fmt.Errorf("the result has nothing for %s", p.ID)
		}
		if err := do(p.ID, ref); err != nil {
			return err
		}
	}
	return nil
}

func (g *guard) attestPlatform(ctx context.Context, res *gateway.Result, platform string, report offline.Report) error {
	asked, err := attestations.Parse(g.opts)
	caps := g.BuildOpts().Caps
	if err != nil || len(asked) == 0 || caps.Supports(gwpb.CapAttestations) != nil {
		return err
	}
	data, err := json.MarshalIndent(statement(platform, g.allow, report), "", "  ")
	if err != nil {
		return err
	}
	file := llb.Scratch().File(llb.Mkfile("/"+offlineFile, 0o644, data), llb.WithCustomName("[internal] attest what was checked offline"))
	return attach(ctx, g, res, platform, file, gateway.Attestation{
		Path: offlineFile, Metadata: inlineOnly(asked), InToto: result.InTotoAttestation{PredicateType: offlinePredicate},
	})
}

// inlineOnly returns the metadata that limits an attestation to images if provenance is limited so. That is the kind of
// provenance that buildx asks for by default.
func inlineOnly(asked map[string]map[string]string) map[string][]byte {
	inline, _ := strconv.ParseBool(asked[attestations.KeyTypeProvenance][result.AttestationInlineOnlyKey])
	return map[string][]byte{result.AttestationInlineOnlyKey: []byte(strconv.FormatBool(inline))}
}

// attach solves a state, and adds the in-toto attestation whose predicate is a file in it to the result for a platform.
func attach(ctx context.Context, c gateway.Client, res *gateway.Result, platform string, st llb.State, a gateway.Attestation) error {
	def, err := st.Marshal(ctx)
	if err != nil {
		return err
	}
	solved, err := c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
	if err != nil {
		return err
	}
	if a.Ref, err = solved.SingleRef(); err != nil {
		return err
	}
	a.Kind = gwpb.AttestationKind_InToto
	res.AddAttestation(platform, a)
	return nil
}

// version returns Larder's version.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func statement(platform string, allow offline.Policy, report offline.Report) predicate {
	return predicate{
		Larder: version(), Platform: platform, Definition: report.Definition, Allowed: allow.Strings(),
		Sources: report.Sources, Images: append([]string{}, report.Images...),
		Steps: steps{Total: report.Steps, Insecure: report.Insecure, SSH: report.SSH, Replayed: report.Replayed},
	}
}
