package gomod

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// NoProxy reports whether no proxy may be asked for a module, by the settings in 'go help private': GONOPROXY, or
// GOPRIVATE if GONOPROXY is not set.
func NoProxy(gonoproxy, goprivate, path string) bool {
	return matches(gonoproxy, goprivate, path)
}

// NoSumDB reports whether the checksum database may not be asked for a module: GONOSUMDB, or GOPRIVATE where that is not
// set.
func NoSumDB(gonosumdb, goprivate, path string) bool {
	return matches(gonosumdb, goprivate, path)
}

func matches(patterns, otherwise, path string) bool {
	if patterns == "" {
		patterns = otherwise
	}
	return module.MatchPrefixPatterns(patterns, path)
}

// LooksPrivate returns the reason why a module path looks private, so that no public server should see it, or "". The
// parameter main is the path of the module that requires it, or empty. It applies only rules that are hardly ever
// wrong: top-level domains that the public DNS doesn't have (RFC 2606, RFC 6762, RFC 8375, ICANN's .internal),
// addresses, and a host that is named like a company's code host, such as git.acme.com, and is the main module's own.
func LooksPrivate(path, main string) string {
	host := Host(path)
	labels := strings.Split(host, ".")
	_, notAddress := netip.ParseAddr(host)
	switch last := labels[len(labels)-1]; {
	case notAddress == nil:
		return "its host is an address"
	case len(labels) > 1 && slices.Contains(privateDomains, last), strings.HasSuffix(host, ".home.arpa"):
		return "no public host ends in ." + last
	}
	if host == Host(main) && len(labels) > 2 && slices.Contains(codeHosts, labels[0]) && !PublicHost(host) {
		return "it is on the code host of the main module"
	}
	return ""
}

// Host returns the first element of a module path. Modules are fetched from that host, except the standard library's.
func Host(path string) string {
	host, _, _ := strings.Cut(path, "/")
	return host
}

// IsStandard reports whether an import path belongs to the standard library. As in the go command, its first element
// then has no dot.
func IsStandard(importPath string) bool { return !strings.Contains(Host(importPath), ".") }

// PublicHost reports whether a host is one of the well-known hosts from which anybody can fetch modules.
func PublicHost(host string) bool {
	return slices.Contains(publicHosts, host)
}

var (
	privateDomains = []string{"corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost", "private", "test"}
	codeHosts      = []string{"bitbucket", "code", "gerrit", "git", "gitea", "github", "gitlab", "scm", "source", "src", "stash", "svn", "vcs"}
	publicHosts    = []string{
		"bitbucket.org", "codeberg.org", "github.com", "gitlab.com", "gitea.com", "golang.org", "google.golang.org", "gopkg.in",
		"git.sr.ht", "git.kernel.org", "gitlab.freedesktop.org", "gitlab.gnome.org", "code.gitea.io", "code.forgejo.org", "git.zx2c4.com",
	}
)
