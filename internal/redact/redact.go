// Package redact takes out of URLs what may be secret, before a message, a label or a document shows them: there is one
// rule of what that is, and one test that attacks it.
package redact

import (
	"net/url"
	"slices"
	"strings"
)

// loginSchemes are of protocols in which the user before the host is a login, such as git, and no credential.
var loginSchemes = []string{"ssh", "git+ssh", "ssh+git"}

// URL returns a URL without its user and password, since tokens stand in the place of both, and without its query, which
// may be a token or a signature, and what follows that. A login of SSH stays, also in git's form USER@HOST:PATH. A text
// that is no URL loses all that stands where these would be; a path of a file is returned as it is.
func URL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" && !strings.HasPrefix(u.Path, "/") || strings.Contains(u.Hostname(), ":") && u.Host[0] != '[' {
		return unparsed(text)
	}
	if u.User == nil {
		text, _, _ = strings.Cut(text, "?")
		return text
	}
	login := u.User.Username()
	u.User = nil
	if login != "" && slices.Contains(loginSchemes, u.Scheme) {
		u.User = url.User(login)
	}
	text, _, _ = strings.Cut(u.String(), "?")
	return text
}

// unparsed is URL for a text of which no host can be read: all up to the last at sign may belong to a user.
func unparsed(text string) string {
	before, rest, ok := strings.Cut(text, "://")
	if ok {
		before += "://"
	} else {
		before, rest = "", text
	}
	rest, query, _ := strings.Cut(rest, "?")
	at := strings.LastIndexByte(rest, '@')
	switch user, host := rest[:max(at, 0)], rest[at+1:]; {
	case strings.Contains(query, "@"): // all of it may be a user
		return before
	case at < 0, !ok && isLogin(user) && strings.Contains(host, ":"), !ok && isPath(user):
		return before + rest
	default:
		return before + host
	}
}

func isLogin(user string) bool { return !strings.ContainsAny(user, ":/@") }

func isPath(user string) bool { return strings.Contains(user, "/") && !strings.Contains(user, ":") }
