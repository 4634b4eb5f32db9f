package redact

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		// What has nothing to hide stays as it is, to the byte.
		"": "",
		"https://proxy.example/a%2Fb/@v/v1.0.0.zip":    "https://proxy.example/a%2Fb/@v/v1.0.0.zip",
		"https://proxy.example/x y#main":               "https://proxy.example/x y#main",
		"docker-image://docker.io/library/x@sha256:00": "docker-image://docker.io/library/x@sha256:00",
		"file:///srv/proxy@2":                          "file:///srv/proxy@2",
		"/srv/a@b":                                     "/srv/a@b",
		"../a@b":                                       "../a@b",
		"local":                                        "local",
		"git.example/x.git":                            "git.example/x.git",

		// Users, passwords and tokens.
		"https://user:s3cret@a.example:8080/p":   "https://a.example:8080/p",
		"https://s3cret@a.example/p":             "https://a.example/p",
		"https://:s3cret@a.example":              "https://a.example",
		"https://s3cret:x-oauth-basic@a.example": "https://a.example",
		"HTTPS://s3cret@a.example":               "https://a.example",
		"git://s3cret@a.example/x.git#main":      "git://a.example/x.git#main",
		"ftp://u:s3cret@a.example/x":             "ftp://a.example/x",
		"//u:s3cret@a.example/x":                 "//a.example/x",
		"https://u:s3%40cret@a.example/@v/list":  "https://a.example/@v/list",
		"https://u@x:s3cret@a.example/":          "https://a.example/",

		// Queries, and what follows one: a sign of a signature may not be escaped.
		"https://a.example/p?X-Amz-Signature=s3cret": "https://a.example/p",
		"https://a.example/p?sig=s3#cret":            "https://a.example/p",
		"https://a.example/p#x?sig=s3cret":           "https://a.example/p#x",
		"https://a.example?s3cret":                   "https://a.example",
		"file:///srv?token=s3cret":                   "file:///srv",
		"../a?s3cret":                                "../a",

		// SSH, whose user is a login. A password there is a mistake.
		"git@a.example:team/x.git":         "git@a.example:team/x.git",
		"git@[::1]:x.git":                  "git@[::1]:x.git",
		"a.example:team/x.git":             "a.example:team/x.git",
		"ssh://git@a.example:22/~me/x.git": "ssh://git@a.example:22/~me/x.git",
		"git+ssh://git:s3cret@a.example/x": "git+ssh://git@a.example/x",
		"u:s3cret@a.example:team/x.git":    "a.example:team/x.git",
		"git@a.example:x@s3cret@b.example": "b.example",

		// What can't be read as a URL.
		"https://u:s3cret%@a.example/p":  "https://a.example/p",
		"https://u:s3cret/x@a.example/p": "https://a.example/p",
		"https://u:s3cr et@a.example":    "https://a.example",
		"https://u:s3cret\n@a.example":   "https://a.example",
		"https://u:s3cret@[::1/p":        "https://[::1/p",
		"https://u:s3cret?@a.example/p":  "https://",
		"https://u:s3cret:#@a.example/p": "https://a.example/p", // of which net/url has a host u:s3cret
		"https://u:s3cret#@a.example/p":  "https://a.example/p",
		"https://%zz/?x@s3cret":          "https://",
		"https://u:s3cret@":              "https://",
		"u:s3cret@a.example":             "a.example",
		"https:u:s3cret@a.example":       "a.example",
		"s3cret@a.example/x":             "a.example/x",
		"https://%zz/":                   "https://%zz/",
	} {
		got := URL(text)
		require.Equal(t, want, got, text)
		require.NotContains(t, got, "s3cret")
	}
}

// Whatever a URL's user, password and query are, none is shown.
func FuzzURL(f *testing.F) {
	f.Add(0, "user", "s3cret", "a.example", "/p", "sig=s3cret")
	f.Add(1, "git", "p:@/?#", "a.example:22", "", "")
	f.Add(2, "", "%zz", "[::1]", "//x@y", "?")
	schemes := []string{"https", "ssh", "http", "git"}
	f.Fuzz(func(t *testing.T, scheme int, user, password, host, path, query string) {
		const mark = "s3cret-"
		u := url.URL{Scheme: schemes[uint(scheme)%4], Host: host, Path: path, RawQuery: mark + query, User: url.UserPassword(user, mark+password)}
		text := u.String()
		if !strings.Contains(host+path+user, mark) {
			require.NotContains(t, URL(text), mark)
		}
		// As somebody writes it who doesn't escape.
		raw := u.Scheme + "://" + user + ":" + mark + password + "@" + host + path
		if !strings.Contains(host+path+user, mark) && !strings.ContainsAny(user, "/?#") {
			require.NotContains(t, URL(raw), mark)
		}
		require.Equal(t, URL(text), URL(URL(text)))
	})
}
