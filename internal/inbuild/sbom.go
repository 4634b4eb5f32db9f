package inbuild

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/larder-build/larder/internal/step"
)

// SBOMFile is the file that the step sbom writes, and CycloneDXFile the one beside it if the facts ask for it.
const (
	SBOMFile      = "sbom.spdx.json"
	CycloneDXFile = "sbom.cdx.json"
)

// runSBOM makes the bill of materials of an image from a file with the facts about it (sbom.Facts).
func runSBOM(_ context.Context, s *step.SBOM, to output) error {
	data, err := os.ReadFile(s.Facts)
	if err != nil {
		return err
	}
	var facts sbom.Facts
	if err := json.Unmarshal(data, &facts); err != nil {
		return fmt.Errorf("reading the facts of the image: %w", err)
	}
	modules, err := readLicenses(s.Licenses)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	contents, err := sbom.Tree(root)
	if err != nil {
		return fmt.Errorf("looking into the image: %w", err)
	}
	licenses := func(m sbom.Module) []string { return modules[m.H1] }
	files := map[string][]byte{}
	if files[SBOMFile], err = sbom.Document(contents, facts, licenses); err != nil {
		return err
	}
	if facts.CycloneDX {
		if files[CycloneDXFile], err = sbom.CycloneDX(contents, facts, licenses); err != nil {
			return err
		}
	}
	fmt.Fprintf(to.stdout, "found %d binaries of Go and %d packages of a distribution\n", len(contents.Binaries), len(contents.Packages))
	return fillWithFiles(s.Out, files)
}
