package gitfetch

import (
	"fmt"
	"strings"

	"golang.org/x/mod/module"
)

// govcs are the rules of a GOVCS setting. The first rule that matches applies.
type govcs []struct {
	pattern string
	allowed []string
}

// defaultGOVCS is appended to the setting, as in the go command.
const defaultGOVCS = "private:all,public:git|hg"

func parseGOVCS(setting string) (govcs, error) {
	if setting = strings.TrimSpace(setting); setting != "" {
		setting += ","
	}
	var rules govcs
	for _, item := range strings.Split(setting+defaultGOVCS, ",") {
		pattern, list, ok := strings.Cut(item, ":")
		pattern, list = strings.TrimSpace(pattern), strings.TrimSpace(list)
		if !ok || pattern == "" || list == "" {
			return nil, fmt.Errorf("GOVCS has the entry %q: expected PATTERN:VCS, such as public:git or *:off", strings.TrimSpace(item))
		}
		allowed := strings.Split(list, "|")
		for i := range allowed {
			allowed[i] = strings.TrimSpace(allowed[i])
		}
		rules = append(rules, struct {
			pattern string
			allowed []string
		}{pattern, allowed})
	}
	return rules, nil
}

// check returns an error if a version control system isn't allowed for a repository's root path.
func (g govcs) check(vcs, root, goprivate string) error {
	private := module.MatchPrefixPatterns(goprivate, root)
	for _, rule := range g {
		match := rule.pattern == "private" && private || rule.pattern == "public" && !private
		if rule.pattern != "private" && rule.pattern != "public" {
			match = module.MatchPrefixPatterns(rule.pattern, root)
		}
		if !match {
			continue
		}
		for _, a := range rule.allowed {
			if a == vcs || a == "all" {
				return nil
			}
		}
		return fmt.Errorf("GOVCS forbids %s for %s: see 'go help vcs'", vcs, root)
	}
	return nil
}
