package fetch

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/fetch/credentials"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A proxy that wants a password has it from the netrc, or from its URL, which comes first; servers behind it aren't sent it.
// A refusal isn't tried again, and says what to do, not what was sent.
func TestGuardedHTTPProxy(t *testing.T) {
	web := testkit.ServeWeb(t)
	web.Handle("a.example", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	web.Guard(testkit.Basic("gate", "s3cret"))
	gate, err := url.Parse(web.ProxyURL)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		user, netrc string
		ok          bool
	}{
		"netrc":          {"", "machine " + gate.Host + " login gate password s3cret\n", true},
		"URL":            {"gate:s3cret@", "machine " + gate.Host + " login gate password wr0ng\n", true},
		"nothing":        {"", "", false},
		"wrong netrc":    {"", "machine " + gate.Host + " login gate password wr0ng-s3cret\n", false},
		"wrong URL":      {"gate:wr0ng-s3cret@", "", false},
		"another's word": {"", "machine a.example login gate password s3cret\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			at := strings.Replace(web.ProxyURL, "://", "://"+tt.user, 1)
			t.Setenv("HTTP_PROXY", at)
			t.Setenv("HTTPS_PROXY", at)
			creds, err := credentials.Parse(credentials.Files{Netrc: []byte(tt.netrc)})
			require.NoError(t, err)
			c := newClient(t, "", creds)
			c.Policy.Backoff = time.Hour
			for _, base := range []string{"http://a.example", "https://a.example"} {
				data, err := get(t, c, base)
				switch {
				case !tt.ok:
					require.EqualError(t, err, "the HTTP proxy answered 407 Proxy Authentication Required: it wants a user and password, or others than it was sent: pass --netrc")
				case strings.HasPrefix(base, "https:"):
					require.ErrorContains(t, err, "pass it with --ca FILE", "the server behind the proxy has answered")
				default:
					require.NoError(t, err)
					require.Equal(t, "ok", data)
				}
			}
		})
	}
	for _, asked := range web.Asked() {
		require.Empty(t, asked.Header.Get("Authorization"), asked.URL)
	}
}
