package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/mod/sumdb/note"
)

// keyVariable is the environment variable that is used without --key.
const keyVariable = "LARDER_BUNDLE_KEY"

// trustFlags say which bundles a command reads.
type trustFlags struct {
	keys       []string
	minSerial  int64
	allowOlder bool // not a flag of all commands
}

func (f *trustFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.keys, "key", nil, "Public key, or a file that holds it, one of which must have signed the bundle (default: $"+keyVariable+")")
	flags.Int64Var(&f.minSerial, "min-serial", 0, "Least serial number that the signature must have")
}

// registerOlder adds the flags, and --allow-older for commands that replace a bundle by another.
func (f *trustFlags) registerOlder(flags *pflag.FlagSet) {
	f.register(flags)
	flags.BoolVar(&f.allowOlder, "allow-older", false, "Put a bundle in the place of one that was signed with a higher serial number")
}

// given reports whether the user has set any flag.
func (f *trustFlags) given() bool { return len(f.keys) > 0 || f.minSerial != 0 }

// trust reads the keys that the flags name, or else the environment.
func (c *command) trust(f trustFlags) (t bundle.Trust, err error) {
	keys := f.keys
	if value, set := c.env[keyVariable]; set && len(keys) == 0 {
		if value == "" {
			return t, errors.New(keyVariable + " is set and empty, and so no key is known that a bundle has to be signed by: give it one, or unset it")
		}
		keys = []string{value}
	}
	t = bundle.Trust{MinSerial: f.minSerial, AllowOlder: f.allowOlder}
	if f.minSerial < 0 || f.minSerial > 0 && len(keys) == 0 {
		return t, usageError{fmt.Errorf("--min-serial %d: expected a number of 1 or more, together with --key: without one nobody vouches for a serial", f.minSerial)}
	}
	t.Keys, err = verifiers(keys)
	return t, err
}

// open opens a bundle if the flags allow it.
func (c *command) open(dir string, f trustFlags) (*bundle.Bundle, error) {
	list, err := c.openAll(f, dir)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func (c *command) openAll(f trustFlags, dirs ...string) (list []*bundle.Bundle, err error) {
	t, err := c.trust(f)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		b, err := bundle.Open(c.ctx, dir, t)
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}

// sinceFlag adds the flag --since, for openOn.
func sinceFlag(cmd *cobra.Command, since *string) {
	cmd.Flags().StringVar(since, "since", "", "Check a delta with this bundle, which it is to be applied to")
}

// openOn opens a bundle. If since names another, the first is a delta, and openOn returns both as one. The serial of
// since may be lower.
func openOn(ctx context.Context, dir, since string, t bundle.Trust) (*bundle.Bundle, error) {
	b, err := bundle.Open(ctx, dir, t)
	if err != nil || since == "" {
		return b, err
	}
	older, err := bundle.Open(ctx, since, bundle.Trust{Keys: t.Keys})
	if err != nil {
		return nil, fmt.Errorf("--since: %w", err)
	}
	return b.On(older)
}

// verifiers makes verifiers from public keys. Each is a key itself, or a file that holds one.
func verifiers(keys []string) (list []note.Verifier, err error) {
	var seen []string
	for _, key := range keys {
		text := strings.TrimSpace(key)
		if data, err := os.ReadFile(key); err == nil {
			if text = strings.TrimSpace(string(data)); strings.Contains(text, secretHead) {
				return nil, fmt.Errorf("--key %s: this is the secret key: give %s.pub", key, key)
			}
		}
		if strings.Contains(text, secretHead) {
			return nil, errors.New("--key: this is a secret key: give the public one")
		}
		if slices.Contains(seen, text) {
			continue
		}
		seen = append(seen, text)
		v, err := note.NewVerifier(text)
		if err != nil {
			return nil, fmt.Errorf("--key %s: %w: expected a public key, NAME+HASH+KEY, or a file that holds one", key, err)
		}
		list = append(list, v)
	}
	return list, nil
}
