package modfetch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseGoproxy(t *testing.T) {
	for list, want := range map[string]string{
		"https://proxy.golang.org,direct":         "https://proxy.golang.org direct",
		"https://a/x/|http://b , off,https://c":   "https://a/x| http://b off",
		"proxy.corp.example/go":                   "https://proxy.corp.example/go",
		"file:///srv/goproxy":                     "file:///srv/goproxy",
		",, https://a ,|":                         "https://a",
		"https://u:s3cret@a:8080/p?token=s3cret|": "https://a:8080/p|",
		"https://tok3n@a":                         "https://a",
		"direct,https://a":                        "direct",
		"off":                                     "off",
	} {
		entries, err := ParseList(list)
		require.NoError(t, err, list)
		var got []string
		for _, e := range entries {
			text := e.Word
			if e.Source != nil {
				text = e.Shown
			}
			if e.onError {
				text += "|"
			}
			got = append(got, text)
		}
		require.Equal(t, want, strings.Join(got, " "), list)
	}
}

func TestParseGoproxyErrors(t *testing.T) {
	for list, want := range map[string]string{
		"":                              "GOPROXY has no entries",
		" , |":                          "GOPROXY has no entries",
		"https://a,nonsense":            "entry 2 of GOPROXY is not a URL",
		"ftp://a":                       "entry 1 of GOPROXY is not a URL",
		"https://":                      "entry 1 of GOPROXY is not a URL",
		"https://u:s3cret/x@a":          "entry 1 of GOPROXY is not a URL",
		"https://u:s3cret%@a":           "entry 1 of GOPROXY is not a URL",
		"/srv/goproxy":                  "entry 1 of GOPROXY is not a URL",
		"file://host/srv":               "entry 1 of GOPROXY is not a folder's URL",
		"file:///srv?x,https://a":       "entry 1 of GOPROXY is not a folder's URL",
		"https://a|file://relative/dir": "entry 2 of GOPROXY is not a folder's URL",
	} {
		_, err := ParseList(list)
		require.ErrorContains(t, err, want, list)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func FuzzParseGoproxy(f *testing.F) {
	for _, seed := range []string{
		"https://proxy.golang.org,direct", "a|b,off", "https://u:p@h/%2f?q#f", "file:///x", "file:x", "http://[::1]:80|", "https://%zz@", "//x", ":/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		entries, err := ParseList(list)
		if err != nil {
			return
		}
		require.NotEmpty(t, entries)
		for i, e := range entries {
			if e.Source == nil {
				require.Contains(t, []string{"off", "direct"}, e.Word)
				require.Equal(t, len(entries)-1, i)
				continue
			}
			require.True(t, (e.url == nil) != (e.dir == ""))
			if e.user != nil {
				if p, ok := e.user.Password(); ok && len(p) > 8 {
					require.NotContains(t, e.Shown, "//"+e.user.String())
				}
				require.Nil(t, e.url.User)
			}
		}
	})
}
