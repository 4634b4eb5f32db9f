package inbuild

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/larder-build/larder/internal/sbom"
)

// SBOMFile is the file that the step sbom writes.
const SBOMFile = "sbom.spdx.json"

// runSBOM makes the bill of materials of an image:
//
//	sbom --root DIR --facts FILE [--licences DIR]… --out DIR
//
// The root is the image's, FILE has what is known of it (sbom.Facts), and the folders of licences are those that the step
// licences has made.
func runSBOM(args []string, stdout io.Writer) error {
	var licences stringList
	flags := newFlags("sbom")
	dir := flags.String("root", "", "root of the image")
	known := flags.String("facts", "", "file of facts")
	flags.Var(&licences, "licences", "folder of licences")
	out := flags.String("out", "", "folder to make")
	if err := parseFlags(flags, args, "root", "facts", "out"); err != nil {
		return err
	}
	data, err := os.ReadFile(*known)
	if err != nil {
		return err
	}
	var facts sbom.Facts
	if err := json.Unmarshal(data, &facts); err != nil {
		return fmt.Errorf("reading the facts of the image: %w", err)
	}
	modules, err := readLicences(licences)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(*dir)
	if err != nil {
		return err
	}
	defer root.Close()
	contents, err := sbom.Tree(root)
	if err != nil {
		return fmt.Errorf("looking into the image: %w", err)
	}
	doc, err := sbom.Document(contents, facts, func(m sbom.Module) []string { return modules[m.H1] })
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "found %d binaries of Go and %d packages of a distribution\n", len(contents.Binaries), len(contents.Packages))
	return fillWith(*out, SBOMFile, doc)
}
