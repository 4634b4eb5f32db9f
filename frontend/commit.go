package frontend

import (
	"strings"

	"github.com/larder-build/larder/internal/commit"
)

// commit returns what the client says of the commit of the build context.
func (b *build) commit() (commit.Commit, bool, error) {
	facts := map[string]string{}
	for opt, value := range b.client.opts {
		if name, ok := strings.CutPrefix(opt, "vcs:"); ok {
			facts[name] = value
		}
	}
	c, ok := commit.Parse(facts)
	return c, ok, nil
}
