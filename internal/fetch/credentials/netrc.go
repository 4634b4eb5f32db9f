package credentials

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// readNetrc reads a netrc as the go command does. The words come in pairs. The pairs machine, login and password, in
// this order, make an entry, and the first entry for a machine applies. A machine may be HOST, HOST:PORT or HOST/PATH;
// HOST alone means each of its ports, as git has it. A default entry, which would be sent to anybody, ends the file and
// isn't used.
func (s *Store) readNetrc(text string) error {
	var machine, login string
	var macro bool
	seen := map[string]bool{}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if macro {
			macro = line != ""
			continue
		}
		words := strings.Fields(line)
		for len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			if words[0] == "default" {
				return nil
			}
			if len(words) == 1 {
				return &Error{"netrc", n + 1, errors.New("the last word has no value: expected 'machine HOST login USER password WORD'")}
			}
			word, value := words[0], words[1]
			words = words[2:]
			switch word {
			case "machine":
				machine, login = value, ""
			case "login":
				login = value
			case "password":
				if machine == "" || login == "" {
					return &Error{"netrc", n + 1, errors.New("a password without machine and login before it: expected 'machine HOST login USER password WORD'")}
				}
				if err := s.addMachine(machine, login, value, seen); err != nil {
					return &Error{"netrc", n + 1, err}
				}
				machine, login = "", ""
			case "macdef":
				macro = true
			case "account":
			default:
				return &Error{"netrc", n + 1, errors.New("expected one of the words machine, login, password and account")}
			}
		}
	}
	return nil
}

func (s *Store) addMachine(machine, login, password string, seen map[string]bool) error {
	u, err := url.Parse("https://" + machine)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("the machine is not a host's name")
	}
	r := rule{anyPort: u.Port() == "", source: fromNetrc, header: s.basic(login, password), user: url.UserPassword(login, password)}
	r.scheme, r.host, r.path = place(u)
	if id := fmt.Sprint(r.host, r.anyPort, r.path); !seen[id] {
		seen[id] = true
		s.rules = append(s.rules, r)
	}
	return nil
}
