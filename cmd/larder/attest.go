package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/larder-build/larder/internal/cli/request"
	"github.com/larder-build/larder/internal/proof/sigstore"
	"github.com/larder-build/larder/internal/proof/verify"
	"github.com/spf13/cobra"
)

// openVEXPredicate is the type of a statement about an image whose predicate is an OpenVEX document:
// https://github.com/openvex/spec/blob/main/ATTESTING.md.
const openVEXPredicate = "https://openvex.dev/ns"

// maxVEX is how many bytes an OpenVEX document has at most. Registries take blobs of any size, and readers of attestations
// don't.
const maxVEX = 16 << 20

// attestFlags are the flags of larder attest.
type attestFlags struct {
	registryFlags
	key, vex, govulncheck, output string
}

func (c *command) attest() *cobra.Command {
	f := &attestFlags{}
	cmd := &cobra.Command{
		Use:   "attest [OPTIONS] IMAGE",
		Short: "Attach an OpenVEX document to a built image",
		Long: "Sign an OpenVEX document about an image, such as 'larder audit --format openvex' writes, or what\n" +
			"govulncheck said of it, after checking the image as 'larder verify' does, and attach it to the\n" +
			"image in its registry, as cosign does. The key is one of ECDSA on P-256 or of ed25519, in PEM and\n" +
			"not encrypted.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error { return c.runAttest(f, args[0]) },
		Example: `  larder audit --vulndb vulndb --format openvex --fail-on none --govulncheck scan.json -o vex.json registry.example.com/app:1
  larder attest --key key.pem --vex vex.json registry.example.com/app:1
  larder attest --key key.pem --govulncheck scan.json registry.example.com/app:1`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&f.key, "key", "", "File of the secret key")
	cmd.Flags().StringVar(&f.govulncheck, "govulncheck", "", "File of what govulncheck printed as JSON")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "File for the Sigstore bundle")
	cmd.Flags().StringVar(&f.vex, "vex", "", "File of the OpenVEX document")
	_ = cmd.MarkFlagRequired("key")
	cmd.MarkFlagsOneRequired("vex", "govulncheck")
	cmd.MarkFlagsMutuallyExclusive("vex", "govulncheck")
	return cmd
}

func (c *command) runAttest(f *attestFlags, image string) error {
	onDisk := isOnDisk(image)
	if onDisk && f.output == "" {
		return usageError{fmt.Errorf("%s is in no registry, where something could be attached to it: give --output, the file for a bundle", image)}
	}
	signer, err := readPEM(f.key)
	if err != nil {
		return err
	}
	r, err := c.verified(f.registryFlags, image)
	if err != nil {
		return err
	}
	predicateType, predicate, err := f.predicate(r)
	if err != nil {
		return err
	}
	bundle, err := sigstore.Attest(r.Digest, predicateType, predicate, signer)
	if err != nil {
		return err
	}
	if f.output != "" {
		if err := request.WriteFile(f.output, bundle); err != nil {
			return err
		}
	}
	if onDisk {
		return nil
	}
	repo, desc, err := c.repositoryOf(f.registryFlags, image, r.Digest)
	if err != nil {
		return err
	}
	if err := sigstore.Refer(c.ctx, repo, desc, bundle, predicateType); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "attached to %s@%s, signed by %s\n", repo.Name(), r.Digest, signer)
	return nil
}

// predicate returns what is said of an image, and its type.
func (f *attestFlags) predicate(r *verify.Report) (predicateType string, predicate json.RawMessage, err error) {
	if f.govulncheck != "" {
		printed, err := os.ReadFile(f.govulncheck)
		if err != nil {
			return "", nil, fmt.Errorf("--govulncheck: %w", err)
		}
		if predicate, err = newScanStatement(printed); err != nil {
			err = fmt.Errorf("--govulncheck %s: %w", f.govulncheck, err)
		}
		return scanPredicate, predicate, err
	}
	data, err := os.ReadFile(f.vex)
	if err != nil {
		return "", nil, fmt.Errorf("--vex: %w", err)
	}
	if err := checkVEX(data, r); err != nil {
		return "", nil, fmt.Errorf("--vex %s: %w", f.vex, err)
	}
	return openVEXPredicate, bytes.TrimSpace(data), nil
}

// checkVEX refuses what is no OpenVEX document, and one that is about other images: each statement has to name the image,
// or that of one of its platforms, by its digest.
func checkVEX(data []byte, r *verify.Report) error {
	if len(data) > maxVEX {
		return fmt.Errorf("it has %d bytes: expected at most %d", len(data), maxVEX)
	}
	var doc struct {
		Context    string `json:"@context"`
		Statements []struct {
			Vulnerability struct{ Name string }
			Products      []struct {
				ID string `json:"@id"`
			}
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("it is no OpenVEX document: %w", err)
	}
	if !strings.HasPrefix(doc.Context, openVEXPredicate+"/") {
		return fmt.Errorf("it is no OpenVEX document: its @context is %.100q", doc.Context)
	}
	if len(doc.Statements) == 0 {
		return errors.New("it states nothing")
	}
	digests := []string{r.Digest.String()}
	for _, p := range r.Platforms {
		digests = append(digests, p.Digest.String())
	}
	for _, s := range doc.Statements {
		of := false
		for _, p := range s.Products {
			for _, d := range digests {
				of = of || strings.Contains(strings.ReplaceAll(p.ID, "%3A", ":"), "@"+d)
			}
		}
		if !of {
			return fmt.Errorf("what it says of %.100q is about another image than %s: run 'larder audit --format openvex %s'", s.Vulnerability.Name, r.Digest, r.Image)
		}
	}
	return nil
}
