package inbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/credentials"
	"github.com/larder-build/larder/internal/fetch/gitfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
)

// secretsDir is the folder in which BuildKit puts the secrets of a step. Package llb lists the possible secrets.
const secretsDir = "/run/secrets"

// readSecret returns a secret of the step, or nil if the build has none of that name.
func readSecret(id string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(secretsDir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// readCredentials reads the credentials in the build's secrets.
func readCredentials() (*credentials.Store, error) {
	var files credentials.Files
	for id, data := range map[string]*[]byte{"netrc": &files.Netrc, "goauth": &files.GoAuth, "gitconfig": &files.GitConfig} {
		var err error
		if *data, err = readSecret(id); err != nil {
			return nil, fmt.Errorf("reading the secret %s: %w", id, err)
		}
	}
	return credentials.Parse(files)
}

// newClient returns a client that sends the credentials in the build's secrets.
func newClient() (*fetch.Client, *credentials.Store, error) {
	creds, err := readCredentials()
	if err != nil {
		return nil, nil, err
	}
	client, err := fetch.NewClient(filepath.Join(secretsDir, "ca"), creds, inStep)
	return client, creds, err
}

// newGit returns a Fetcher for version control, which works in a folder of out that is removed at the end. It takes
// GOINSECURE, GOVCS and the socket of the SSH agent from the environment.
func newGit(out *os.Root, client *fetch.Client, creds *credentials.Store, goprivate string) (*gitfetch.Fetcher, error) {
	known, err := readSecret("known_hosts")
	if err != nil {
		return nil, fmt.Errorf("reading the secret known_hosts: %w", err)
	}
	dir := path.Join(fetching, ".git")
	if err := out.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	agent := os.Getenv("SSH_AUTH_SOCK")
	if _, err := os.Stat(agent); err != nil {
		agent = "" // the build has none
	}
	return gitfetch.New(gitfetch.Options{
		Dir: filepath.Join(out.Name(), dir), Client: client, Rewriter: creds, KnownHosts: known, Agent: agent,
		GOINSECURE: os.Getenv("GOINSECURE"), GOVCS: os.Getenv("GOVCS"), GOPRIVATE: goprivate,
	})
}

// fetchGit makes the file of one go.sum line from the module's repository.
func (f *fetcher) fetchGit(ctx context.Context, sum gomod.Sum) (source, error) {
	fetch, file := f.git.Fetch, func(files gitfetch.Files) string { return files.Zip }
	if sum.GoMod {
		fetch, file = f.git.FetchMod, func(files gitfetch.Files) string { return files.Mod }
	}
	files, err := fetch(ctx, sum.Module())
	if err != nil {
		return source{}, err
	}
	f.count(file(files))
	return source{file: file(files), from: "its repository"}, nil
}
