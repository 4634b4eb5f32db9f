package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// guard lets only requests with the right password or token through, if the server has one.
func (s *Server) guard(next http.Handler) http.Handler {
	if s.opts.Password == "" && s.opts.Token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.opts.allow(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="larder"`)
			http.Error(w, "these bundles are served to known users: write into your netrc file: machine "+r.Host+" login USER password PASSWORD-OR-TOKEN", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (o Options) allow(r *http.Request) bool {
	user, password, basic := r.BasicAuth()
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if basic {
		bearer = password
	} else if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	if o.Token != "" && equal(bearer, o.Token) {
		return true
	}
	return basic && o.Password != "" && (o.User == "" || equal(user, o.User)) && equal(password, o.Password)
}

// equal compares two strings in a time that doesn't depend on them, not even on their length.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
