package gitfetch

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/fetch/credentials"
	"github.com/larder-build/larder/internal/testkit"
	"golang.org/x/mod/module"
)

// TestGitFaults fetches a module from a server whose packs fail. What is silent is left to TestProxyFaults, whose client this is:
// it waits for over a minute.
func TestGitFaults(t *testing.T) {
	c := newCorp(t)
	isPack := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/git-upload-pack") }
	faults := slices.DeleteFunc(testkit.Faults(), func(f testkit.NamedFault) bool { return strings.HasPrefix(f.Name, "silent") })
	// Each has a host of its own, since they are tried at once: each gives up after some seconds.
	hostOf := func(f testkit.NamedFault, times int64) string {
		i := slices.IndexFunc(faults, func(g testkit.NamedFault) bool { return g.Name == f.Name })
		return fmt.Sprintf("git%d-%d.corp.example", i, times)
	}
	var logins strings.Builder
	for _, f := range faults {
		for _, times := range []int64{0, 1} {
			name := hostOf(f, times)
			fmt.Fprintf(&logins, "machine %s login ci password %s\n", name, token)
			testkit.NewRepo(t, filepath.Join(c.root, name, "lib")).Commit(map[string]string{"go.mod": "module " + name + "/lib.git\n", "a.go": "package a\n"}, "v1.0.0")
		}
	}
	fetcher := func() *Fetcher { return c.fetcher(credentials.Files{Netrc: []byte(logins.String())}, Options{}) }
	testkit.CheckFaults(t, "../../../docs/reference/faults.md", "Git servers", faults, func(t *testing.T, f testkit.NamedFault, times int64) error {
		name := hostOf(f, times)
		good := testkit.Guarded(testkit.GitHandler(t, filepath.Join(c.root, name)), testkit.Basic("ci", token))
		c.web.Handle(name, testkit.Faulty(good, testkit.Where(isPack, times, f.Do)))
		got := c.fetch(fetcher(), module.Version{Path: name + "/lib.git", Version: "v1.0.0"})
		if got.Err != nil && f.Name == "other bytes" {
			return errors.New("https://HOST/lib: what is wrong with the pack") // it depends on the release of git that made it
		}
		if got.Err != nil {
			return errors.New(strings.NewReplacer(name+"/lib.git@v1.0.0", "MODULE", name, "HOST").Replace(got.Err.Error()))
		}
		return nil
	})
}
