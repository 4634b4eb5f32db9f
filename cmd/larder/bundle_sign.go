package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

func (c *command) bundleKeygen() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "keygen [OPTIONS] NAME",
		Short: "Make a key to sign bundles with",
		Long: "Make an ed25519 key to sign bundles with. FILE gets the secret key, and FILE.pub the one\n" +
			"that checks its signatures. NAME says whose key it is.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			skey, vkey, err := bundle.GenerateKey(rand.Reader, args[0])
			if err != nil {
				return err
			}
			f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("--output: %w", err)
			}
			if _, err = fmt.Fprintln(f, skey); err == nil {
				err = f.Close()
			}
			if err == nil {
				err = os.WriteFile(output+".pub", []byte(vkey+"\n"), 0o644)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(c.stdout, vkey)
			return nil
		},
		Example:               `  larder bundle keygen -o release.key release.example.com`,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "File for the secret key, which must not be there yet")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

func (c *command) bundleSign() *cobra.Command {
	var key, since, progress string
	var serial int64
	var sums []string
	cmd := &cobra.Command{
		Use:   "sign [OPTIONS] BUNDLE",
		Short: "Sign a bundle",
		Long: "Sign a bundle, after checking it as 'larder bundle verify' does. Several can sign one\n" +
			"bundle: the first gives it a serial number, larger than that of any bundle signed before,\n" +
			"and whoever has a bundle refuses one with a lower. The signature of a delta is that of the\n" +
			"bundle that it makes.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			signer, err := readSigner(key)
			if err != nil {
				return err
			}
			at, err := c.now()
			if err != nil {
				return err
			}
			if serial < 0 {
				return usageError{fmt.Errorf("--serial %d: expected a number of 1 or more", serial)}
			}
			b, err := openOn(c.ctx, args[0], since, bundle.Trust{})
			if err != nil {
				return err
			}
			if err := c.verifyWhole(b, sums, progress); err != nil {
				return err
			}
			_, err = bundle.Sign(c.ctx, args[0], bundle.Signing{Signer: signer, Serial: serial, Time: at})
			return err
		},
		Example: `  larder bundle sign --key release.key --serial 1 bundle
  larder bundle sign --key release.key --serial 2 --since bundle delta`,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVar(&key, "key", "", "File of the secret key")
	cmd.Flags().Int64Var(&serial, "serial", 0, "Serial number of the signature (default: that of the signature that is there, to which another is added)")
	cmd.Flags().StringArrayVar(&sums, "go-sum", nil, "Check that the bundle has all that a go.sum file lists, with its hashes")
	progressFlag(cmd, &progress)
	sinceFlag(cmd, &since)
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

// secretHead begins every secret key. Text that begins so is never shown, neither from a file nor from a flag.
const secretHead = "PRIVATE+KEY+"

// readSigner reads a secret key.
func readSigner(file string) (note.Signer, error) {
	if strings.Contains(file, secretHead) {
		return nil, errors.New("--key: this is a secret key: give the name of a file that holds it")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, fmt.Errorf("--key %s: %w: expected a file that 'larder bundle keygen' wrote", file, err)
	}
	return signer, nil
}
