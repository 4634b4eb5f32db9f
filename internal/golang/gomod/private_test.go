package gomod

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoProxy(t *testing.T) {
	for _, c := range []struct {
		gonoproxy, goprivate, path string
		want                       bool
	}{
		{"", "", "git.corp.example/lib", false},
		{"", "*.corp.example", "git.corp.example/lib", true},
		{"", "git.corp.example/team", "git.corp.example/team/lib/v2", true},
		{"", "git.corp.example/team", "git.corp.example/teams/lib", false},
		{"none", "*.corp.example", "git.corp.example/lib", false},
		{"a.example,b.example", "", "b.example/lib", true},
		{"a.example", "b.example", "b.example/lib", false},
	} {
		require.Equal(t, c.want, NoProxy(c.gonoproxy, c.goprivate, c.path), "%+v", c)
		require.Equal(t, c.want, NoSumDB(c.gonoproxy, c.goprivate, c.path), "%+v", c)
	}
}

func TestLooksPrivate(t *testing.T) {
	for path, want := range map[string]string{
		"github.com/acme/lib":            "",
		"git.acme.example/team/lib":      "it is on the code host of the main module",
		"gitlab.other.example/lib":       "",
		"acme.example/lib":               "",
		"go.acme.internal/lib":           "no public host ends in .internal",
		"builds.lan/x":                   "no public host ends in .lan",
		"host.home.arpa/x":               "no public host ends in .arpa",
		"10.0.0.7/x":                     "its host is an address",
		"std":                            "",
		"internal":                       "",
		"golang.org/x/internal":          "",
		"example.com/local/test/private": "",
	} {
		require.Equal(t, want, LooksPrivate(path, "git.acme.example/team/app"), path)
	}
	require.Empty(t, LooksPrivate("github.com/acme/lib", "github.com/acme/app"))
	require.Empty(t, LooksPrivate("gitea.dev/sdk", "gitea.dev"), "a project's own domain")
	require.Empty(t, LooksPrivate("git.acme.example/lib", ""))
}
