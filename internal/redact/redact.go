// Package redact removes from URLs what may be secret, before a message, a label or a document shows them. It exists so
// that there is one rule for this, and one test that attacks it.
package redact

import (
	"net/url"
	"slices"
	"strings"
)

// loginSchemes are the URL schemes in which the user before the host is a login, such as git, and no credential.
var loginSchemes = []string{"ssh", "git+ssh", "ssh+git"}

// URL returns a URL without its user and password, because either may be a token. It also removes the query, which may
// be a token or a signature, and everything after it. A login of SSH stays, also in git's form USER@HOST:PATH. A text
// that is no URL loses everything at the places of these parts; the path of a file is returned unchanged.
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

// unparsed removes secrets from a text whose host can't be read. Everything up to the last at sign may belong to a
// user.
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
