package credentials

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// readGoAuth reads the output of a GOAUTH command: sets of one or more lines of URLs, an empty line, lines of headers,
// an empty line. A later set for a URL replaces an earlier one, and a set without headers removes it.
func (s *Store) readGoAuth(text string) error {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	given := map[string]rule{}
	var order []string
	for n := 0; n < len(lines); {
		if line(lines, n) == "" { // too many between two sets, or at the end
			n++
			continue
		}
		var at []rule
		for ; n < len(lines) && line(lines, n) != ""; n++ {
			r, err := goAuthURL(line(lines, n))
			if err != nil {
				return &Error{"goauth", n + 1, err}
			}
			at = append(at, r)
		}
		if n == len(lines) {
			return &Error{"goauth", n, errors.New("it ends without an empty line and headers after the URLs")}
		}
		header := http.Header{}
		for n++; n < len(lines) && line(lines, n) != ""; n++ {
			name, value, err := headerLine(line(lines, n))
			if err != nil {
				return &Error{"goauth", n + 1, err}
			}
			s.addHeader(header, name, value)
		}
		n++
		for _, r := range at {
			r.header = maps.Clone(header)
			id := r.host + r.path
			if _, old := given[id]; !old {
				order = append(order, id)
			}
			given[id] = r
		}
	}
	for _, id := range order {
		if r := given[id]; len(r.header) > 0 {
			s.rules = append(s.rules, r)
		}
	}
	return nil
}

func line(lines []string, n int) string { return strings.TrimSuffix(lines[n], "\r") }

func goAuthURL(text string) (rule, error) {
	u, err := url.ParseRequestURI(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return rule{}, errors.New("expected a URL that begins with https://")
	}
	r := rule{source: fromGoAuth}
	r.scheme, r.host, r.path = place(u)
	return r, nil
}

// headerLine reads NAME: VALUE.
func headerLine(text string) (name, value string, err error) {
	name, value, ok := strings.Cut(text, ":")
	value = strings.TrimSpace(value)
	if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return "", "", errors.New("expected a header, such as 'Authorization: Bearer WORD'")
	}
	return http.CanonicalHeaderKey(name), value, nil
}
