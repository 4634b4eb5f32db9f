package frontend

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/attestations"
)

// proxyArgs are the build arguments that name HTTP proxies. BuildKit gives them to every step, and leaves them out of
// its key.
var proxyArgs = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "ALL_PROXY", "all_proxy"}

// checkProxies refuses an HTTP proxy with a password where BuildKit would publish it: provenance holds the build
// arguments, except with mode=min.
func checkProxies(args map[string]string, asked map[string]map[string]string) error {
	provenance, ok := asked[attestations.KeyTypeProvenance]
	if !ok || provenance["mode"] == "min" {
		return nil
	}
	for _, name := range proxyArgs {
		if strings.Contains(args[name], "@") {
			return fmt.Errorf("the build argument %s carries a password, which provenance with mode=max would tell: leave it out and pass --secret id=netrc,src=FILE with 'machine HOST login USER password WORD' for the proxy, or ask for mode=min", name)
		}
	}
	return nil
}

func proxyEnv(args map[string]string) *llb.ProxyEnv {
	get := func(upper, lower string) string {
		if v := args[upper]; v != "" {
			return v
		}
		return args[lower]
	}
	p := llb.ProxyEnv{
		HTTPProxy:  get("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: get("HTTPS_PROXY", "https_proxy"),
		FTPProxy:   get("FTP_PROXY", "ftp_proxy"),
		NoProxy:    get("NO_PROXY", "no_proxy"),
		AllProxy:   get("ALL_PROXY", "all_proxy"),
	}
	if p == (llb.ProxyEnv{}) {
		return nil
	}
	return &p
}
