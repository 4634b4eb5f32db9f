package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/proof/verify"
	"github.com/spf13/cobra"
)

func (c *command) verify() *cobra.Command {
	var f registryFlags
	var sums, keys []string
	var signature, mode string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [OPTIONS] IMAGE",
		Short: "Check a built image against its SBOM, go.sum and a signature",
		Long: "Check every digest of an image, and the Go binaries in its layers against its SBOM: every\n" +
			"module that is linked in is listed with its sum, and no other. IMAGE is a reference in a\n" +
			"registry, or an OCI layout, a folder or a tar file. With a key in PEM, the signatures that\n" +
			"are attached to it in its registry are read as cosign has them.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			check, err := c.signatureCheck(f, args[0], keys, signature)
			if err != nil {
				return err
			}
			d, err := c.display(mode)
			if err != nil {
				return err
			}
			defer d.Close()
			r, err := c.verifyImage(f, args[0], sums, d)
			if err != nil {
				return err
			}
			d.End()
			if len(r.Problems()) == 0 {
				if r.Signers, err = check(r.Digest); err != nil {
					return fmt.Errorf("%s: %w", r.Image, err)
				}
			}
			if asJSON {
				return errors.Join(writeJSON(c, r), r.Err())
			}
			c.tellReport(r)
			return r.Err()
		},
		Example: `  larder verify registry.example.com/app:1
  larder verify --key cosign.pub registry.example.com/app:1
  larder verify --go-sum go.sum --key release.key.pub --signature image.sig image.tar`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	cmd.Flags().StringArrayVar(&sums, "go-sum", nil, "Check that a go.sum file lists all that is linked in, with its sums")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "Public key, or a file that holds it, or one in PEM, or a certificate, one of which must have signed the image")
	cmd.Flags().StringVar(&signature, "signature", "", "File of the signature, or of a Sigstore bundle (default: with a key in PEM, what is attached to the image)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "Write what was found as JSON")
	progressFlag(cmd, &mode)
	return cmd
}

// verifyImage checks everything but a signature.
func (c *command) verifyImage(f registryFlags, name string, sums []string, p progress.Reporter) (*verify.Report, error) {
	l, err := c.openImage(f, name)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if len(sums) == 0 {
		return verify.Image(c.ctx, l, name, nil, p)
	}
	set, err := readSums(sums)
	if err != nil {
		return nil, err
	}
	return verify.Image(c.ctx, l, name, &set, p)
}

// openImage opens an image in a layout on disk or, if there is no such file, in a registry.
func (c *command) openImage(f registryFlags, name string) (*oci.Layout, error) {
	if _, err := os.Stat(name); err == nil {
		return oci.Open(name)
	}
	client, err := c.registries(f)
	if err != nil {
		return nil, err
	}
	full, desc, fetcher, err := client.Resolve(c.ctx, name)
	if err != nil {
		return nil, fmt.Errorf("there is no file or folder %s, and as the name of an image: %w", name, err)
	}
	return oci.Remote(full, desc, fetcher.Fetch), nil
}

func writeJSON(c *command, v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// tellReport prints what is right, and prints problems to standard error.
func (c *command) tellReport(r *verify.Report) {
	for _, p := range r.Platforms {
		modules := 0
		for _, b := range p.Binaries {
			modules += b.Modules
			if len(b.Unchecked) > 0 {
				fmt.Fprintf(c.stdout, "%s: %s: no sum is known of %s\n", p.Platform, b.Path, strings.Join(b.Unchecked, ", "))
			}
		}
		fmt.Fprintf(c.stdout, "%s %s: %d layers, %d Go binaries with %d modules, %d packages\n", p.Platform, p.Digest, p.Layers, len(p.Binaries), modules, p.Packages)
	}
	for _, problem := range r.Problems() {
		fmt.Fprintln(c.stderr, problem)
	}
	if len(r.Problems()) == 0 {
		fmt.Fprintf(c.stdout, "%s is as its SBOM says\n", r.Image)
	}
	if len(r.Signers) > 0 {
		fmt.Fprintf(c.stdout, "signed by %s\n", strings.Join(r.Signers, ", "))
	}
}
