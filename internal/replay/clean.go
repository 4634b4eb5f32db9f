package replay

import (
	"net/url"
	"strings"
)

// secretWords are parts of the names of query parameters that carry secrets. Parameters that belong to a signature,
// such as its expiry time, are removed with it.
var secretWords = []string{"token", "secret", "passw", "pwd", "signature", "credential", "apikey", "api_key", "api-key", "accesskey", "access_key", "auth", "session", "jwt", "x-amz-", "x-goog-"}

// Clean returns a URL as a recording has it: without a user, a password and a fragment, without the port that its scheme
// has anyway, and without the query parameters that may carry a credential. The result is the key of an answer, so a
// step with another token gets the same answer.
func Clean(u *url.URL) string {
	out := url.URL{Scheme: strings.ToLower(u.Scheme), Host: strings.ToLower(u.Host), Path: u.Path, RawPath: u.RawPath}
	if port := u.Port(); out.Scheme == "http" && port == "80" || out.Scheme == "https" && port == "443" || port == "" {
		out.Host = strings.TrimSuffix(strings.TrimSuffix(out.Host, port), ":")
	}
	if out.Path == "" {
		out.Path = "/"
	}
	var query []string
	for part := range strings.FieldsFuncSeq(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if !isSecret(strings.ToLower(name)) {
			query = append(query, part)
		}
	}
	out.RawQuery = strings.Join(query, "&")
	return out.String()
}

func isSecret(name string) bool {
	if name == "key" || name == "sig" {
		return true
	}
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// cleanText is like Clean, for a text such as a Location, which may be relative to base. It returns "" for a text that
// is no URL.
func cleanText(base *url.URL, text string) string {
	u, err := base.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return Clean(u)
}
