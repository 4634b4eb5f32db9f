package credentials

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// A rewrite is one insteadOf of a git config.
type rewrite struct{ insteadOf, base string }

// Rewrite returns the URL that git uses instead of another. The insteadOf rule with the longest matching prefix
// applies, once. The result has no user and password of an http URL: Header knows them.
func (s *Store) Rewrite(repo string) string {
	if s == nil {
		return repo
	}
	for _, r := range s.rewrites {
		if rest, ok := strings.CutPrefix(repo, r.insteadOf); ok {
			return r.base + rest
		}
	}
	return repo
}

// readGitConfig reads the settings of a git config that say how to reach a repository: url.BASE.insteadOf, and
// http.URL.extraHeader. It ignores everything else, and included files: helpers can't run here, and certificates are
// always checked, even if the config turns that off.
func (s *Store) readGitConfig(text string) error {
	extra := map[string]*rule{}
	var order []string
	err := scanGitConfig(text, func(v variable) error {
		switch v.section + "." + v.name {
		case "url.insteadof":
			return s.addRewrite(v.sub, v.value)
		case "http.extraheader":
			r, err := s.extraHeader(v.sub)
			if err != nil {
				return err
			}
			id := r.scheme + "://" + r.host + r.path
			if extra[id] == nil || v.value == "" { // git begins the list anew at an empty one
				extra[id] = &r
				order = append(order, id)
			}
			if v.value == "" {
				return nil
			}
			name, value, err := headerLine(v.value)
			if err == nil {
				s.addHeader(extra[id].header, name, value)
			}
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range order {
		if r := extra[id]; r != nil && len(r.header) > 0 {
			s.rules = append(s.rules, *r)
		}
		delete(extra, id)
	}
	return nil
}

func (s *Store) extraHeader(at string) (rule, error) {
	if at == "" {
		return rule{}, errors.New(`extraHeader for any server: name the one that it is for, as in [http "https://HOST/"]`)
	}
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Contains(u.Host, "*") {
		return rule{}, errors.New(`extraHeader: expected the URL of one server, as in [http "https://HOST/"]`)
	}
	r := rule{source: fromGitConfig, header: http.Header{}}
	r.scheme, r.host, r.path = place(u)
	return r, nil
}

// addRewrite adds a rule, and the credentials in base. These apply to everything below the last slash of base.
func (s *Store) addRewrite(base, insteadOf string) error {
	if base == "" || insteadOf == "" {
		return errors.New(`insteadOf: expected a URL in both places, as in [url "ssh://git@HOST/"] and insteadOf = https://HOST/`)
	}
	if !strings.HasPrefix(base, "https://") && !strings.HasPrefix(base, "http://") {
		s.rewrites = append(s.rewrites, rewrite{insteadOf, base})
		return nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return errors.New("insteadOf: the section names no URL that can be used")
	}
	if u.User != nil {
		password, _ := u.User.Password()
		r := rule{source: fromGitConfig, header: s.basic(u.User.Username(), password)}
		dir := *u
		dir.Path = u.Path[:strings.LastIndex(u.Path, "/")+1]
		r.scheme, r.host, r.path = place(&dir)
		s.rules = append(s.rules, r)
		scheme, rest, _ := strings.Cut(base, "://")
		base = scheme + "://" + rest[strings.Index(rest, "@")+1:]
	}
	s.rewrites = append(s.rewrites, rewrite{insteadOf, base})
	return nil
}
