package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/larder-build/larder/internal/cli/request"
	"github.com/larder-build/larder/internal/oci/registry"
	"github.com/larder-build/larder/internal/proof/sigstore"
	"github.com/larder-build/larder/internal/proof/verify"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

// signFlags are the flags of larder sign.
type signFlags struct {
	registryFlags
	format, key, output string
}

func (c *command) sign() *cobra.Command {
	f := &signFlags{}
	cmd := &cobra.Command{
		Use:   "sign [OPTIONS] IMAGE",
		Short: "Sign a built image",
		Long: "Sign an image, after checking it as 'larder verify' does. The signature is of the image's\n" +
			"digest, or of the index's if it is for several platforms. Of the format note it goes into a\n" +
			"file; make its key with 'larder bundle keygen'. Of the format sigstore it is attached to the\n" +
			"image in its registry, where cosign and policy engines find it, or goes into a file, or both;\n" +
			"its key is one of ECDSA on P-256 or of ed25519, in PEM and not encrypted.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			switch f.format {
			case "note":
				return c.signNote(f, args[0])
			case "sigstore":
				return c.signSigstore(f, args[0])
			}
			return fmt.Errorf("--format %q: one of note, sigstore", f.format)
		},
		Example: `  larder sign --key release.key --output image.sig registry.example.com/app:1
  larder sign --format sigstore --key key.pem registry.example.com/app:1`,
		DisableFlagsInUseLine: true,
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&f.format, "format", "note", `Format of the signature ("note", "sigstore")`)
	cmd.Flags().StringVar(&f.key, "key", "", "File of the secret key")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "File for the signature, or for the Sigstore bundle")
	_ = cmd.MarkFlagRequired("key")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"note", "sigstore"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (c *command) signNote(f *signFlags, image string) error {
	if f.output == "" {
		return usageError{errors.New("--format note needs --output, the file for the signature")}
	}
	signer, err := readSigner(f.key)
	if err != nil {
		return err
	}
	r, err := c.verified(f.registryFlags, image)
	if err != nil {
		return err
	}
	data, err := verify.Sign(r.Digest, signer)
	if err != nil {
		return err
	}
	return request.WriteFile(f.output, data)
}

func (c *command) signSigstore(f *signFlags, image string) error {
	onDisk := isOnDisk(image)
	if onDisk && f.output == "" {
		return usageError{fmt.Errorf("%s is in no registry, where a signature could be attached to it: give --output, the file for a bundle", image)}
	}
	signer, err := readPEM(f.key)
	if err != nil {
		return err
	}
	r, err := c.verified(f.registryFlags, image)
	if err != nil {
		return err
	}
	bundle, err := sigstore.Sign(r.Digest, signer)
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
	return c.attach(f.registryFlags, image, r.Digest, bundle, signer)
}

// readPEM reads a secret key in PEM.
func readPEM(file string) (sigstore.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return sigstore.Signer{}, fmt.Errorf("--key: %w", err)
	}
	signer, err := sigstore.ParseSigner(data)
	if err != nil {
		return signer, fmt.Errorf("--key %s: %w", file, err)
	}
	return signer, nil
}

// attach attaches signatures to an image in its registry.
func (c *command) attach(f registryFlags, image string, root digest.Digest, bundle []byte, signer sigstore.Signer) error {
	repo, desc, err := c.repositoryOf(f, image, root)
	if err != nil {
		return err
	}
	attached, err := sigstore.Attach(c.ctx, repo, desc, bundle, signer)
	if err != nil {
		return err
	}
	already := ""
	if !attached {
		already = " already"
	}
	fmt.Fprintf(c.stdout, "%s@%s is signed by %s%s\n", repo.Name(), root, signer, already)
	return nil
}

// repositoryOf returns the repository that an image is in, and what the registry says of the image.
func (c *command) repositoryOf(f registryFlags, image string, root digest.Digest) (*registry.Repository, ocispec.Descriptor, error) {
	client, err := c.registries(f)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	repo, err := client.RepositoryOf(image)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	desc, _, err := repo.Manifest(c.ctx, root.String())
	return repo, desc, err
}

// verified checks all of an image, and says so.
func (c *command) verified(f registryFlags, image string) (*verify.Report, error) {
	r, err := c.verifyImage(f, image, nil, nil)
	if err != nil {
		return nil, err
	}
	c.tellReport(r)
	return r, r.Err()
}

func isOnDisk(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// signatureCheck returns what checks the signatures of an image, by its digest, and returns who signed it. Keys and the
// signature's file are read before anything of the image is.
func (c *command) signatureCheck(f registryFlags, image string, keys []string, file string) (func(digest.Digest) ([]string, error), error) {
	if len(keys) == 0 && file == "" {
		return func(digest.Digest) ([]string, error) { return nil, nil }, nil
	}
	if len(keys) == 0 {
		return nil, usageError{errors.New("--signature needs --key, the public key of who signed")}
	}
	notes, pems, err := c.publicKeys(keys)
	if err != nil {
		return nil, err
	}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--signature: %w", err)
		}
		return func(d digest.Digest) ([]string, error) { return signersOf(data, d, notes, pems) }, nil
	}
	switch {
	case len(pems) == 0:
		return nil, usageError{errors.New("--key needs --signature, the file that 'larder sign' wrote: only with a key in PEM, attached signatures are looked for")}
	case isOnDisk(image):
		return nil, usageError{fmt.Errorf("%s is in no registry, where signatures could be attached to it: give --signature, the file of a bundle", image)}
	}
	return func(d digest.Digest) ([]string, error) { return c.attached(f, image, d, pems) }, nil
}

// publicKeys reads public keys: those in PEM are for Sigstore's formats, and others for notes.
func (c *command) publicKeys(keys []string) (notes []note.Verifier, pems []sigstore.Key, err error) {
	now, err := c.now()
	if err != nil {
		return nil, nil, err
	}
	var others []string
	for _, key := range keys {
		data, err := os.ReadFile(key)
		if err != nil || !bytes.Contains(data, []byte("-----BEGIN ")) {
			others = append(others, key)
			continue
		}
		k, err := sigstore.ParseKey(data, now)
		if err != nil {
			return nil, nil, fmt.Errorf("--key %s: %w", key, err)
		}
		pems = append(pems, k)
	}
	notes, err = verifiers(others)
	return notes, pems, err
}

// signersOf returns who signed an image by a file, which is a note or a Sigstore bundle.
func signersOf(data []byte, image digest.Digest, notes []note.Verifier, pems []sigstore.Key) ([]string, error) {
	if !strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
		return verify.Signers(data, image, note.VerifierList(notes...))
	}
	key, err := sigstore.Verify(data, image, pems)
	if err != nil {
		return nil, fmt.Errorf("the signature: %w: don't use this image", err)
	}
	return []string{key.String()}, nil
}

// attached returns who signed an image by what is attached to it in its registry.
func (c *command) attached(f registryFlags, image string, root digest.Digest, keys []sigstore.Key) (signers []string, err error) {
	client, err := c.registries(f)
	if err != nil {
		return nil, err
	}
	repo, err := client.RepositoryOf(image)
	if err != nil {
		return nil, err
	}
	list, err := sigstore.Find(c.ctx, repo, root, keys)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, s := range list {
		name := s.Key.String()
		if s.Repository != "" && s.Repository != repo.Name() {
			name += fmt.Sprintf(" (as %.200q)", s.Repository)
		}
		if !seen[name] {
			seen[name] = true
			signers = append(signers, name)
		}
	}
	return signers, nil
}
