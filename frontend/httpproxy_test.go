package frontend

import (
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/stretchr/testify/require"
)

func TestProxyEnv(t *testing.T) {
	require.Nil(t, proxyEnv(map[string]string{"GOPROXY": "x"}))
	require.Equal(t, &llb.ProxyEnv{HTTPProxy: "a", NoProxy: "b"}, proxyEnv(map[string]string{"HTTP_PROXY": "a", "http_proxy": "z", "no_proxy": "b"}))
}

// The password of a proxy is refused where BuildKit would publish it, and the error doesn't tell it.
func TestCheckProxies(t *testing.T) {
	max, least := map[string]map[string]string{"provenance": {"mode": "max"}}, map[string]map[string]string{"provenance": {"mode": "min"}}
	password := map[string]string{"https_proxy": "http://u:s3cr%et@proxy.example:3128"}
	for name, tt := range map[string]struct {
		args  map[string]string
		asked map[string]map[string]string
		want  string
	}{
		"max":          {password, max, "the build argument https_proxy carries a password"},
		"by default":   {password, map[string]map[string]string{"provenance": {}}, "pass --secret id=netrc,src=FILE"},
		"min":          {password, least, ""},
		"a bill alone": {password, map[string]map[string]string{"sbom": {}}, ""},
		"no password":  {map[string]string{"HTTP_PROXY": "http://proxy.example:3128", "NO_PROXY": "a@b"}, max, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkProxies(tt.args, tt.asked)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "s3cr")
		})
	}
}
