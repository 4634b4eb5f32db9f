package request

import (
	"context"
	"maps"
)

// Commits remembers what git says of folders. Requests that share one ask git once for each folder, which takes a few
// processes and, in a large working tree, a while. The zero value remembers nothing yet. It isn't safe for concurrent
// use.
type Commits struct {
	known map[commitQuestion]map[string]string
}

// A commitQuestion is what is asked of git.
type commitQuestion struct {
	folder string
	stamp  bool // also what a stamped build needs
}

// facts returns what is known of the commit of a folder: see vcs and stampFacts. It returns nil for no commit. The
// caller may change the map.
func (c *Commits) facts(ctx context.Context, folder string, stamp bool) map[string]string {
	asked := commitQuestion{folder, stamp}
	if c == nil {
		return asked.answer(ctx)
	}
	if c.known == nil {
		c.known = map[commitQuestion]map[string]string{}
	}
	if _, ok := c.known[asked]; !ok {
		c.known[asked] = asked.answer(ctx)
	}
	return maps.Clone(c.known[asked])
}

func (q commitQuestion) answer(ctx context.Context) map[string]string {
	facts := vcs(ctx, q.folder)
	if facts != nil && q.stamp {
		maps.Copy(facts, stampFacts(ctx, q.folder))
	}
	return facts
}
