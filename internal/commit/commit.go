// Package commit holds the facts about the commit of a build's sources, and answers the go command's questions to git
// when it stamps a binary. It exists so that a step can stamp without git and without a repository: neither is
// sent to the builder.
package commit

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Commit has the facts about the commit of a tree.
type Commit struct {
	Revision string   `json:"revision"`           // its whole hash, in hexadecimal
	Time     int64    `json:"time,omitempty"`     // in seconds since 1970; 0 if it isn't known
	Modified bool     `json:"modified,omitempty"` // the tree is not just as the commit has it
	Tags     []string `json:"tags,omitempty"`     // of the commit
	Bases    []string `json:"bases,omitempty"`    // of commits before it: those that may count for the next version
	Inner    bool     `json:"inner,omitempty"`    // the tree is a folder of the repository's, not its root
}

// These are the names of the facts that Parse reads. BuildKit's clients set them as options of the frontend, with the
// prefix "vcs:". Docker's sets FactRevision, with "-dirty" behind it if it looks for edits and finds any, and
// FactFolder; the others are Larder's.
const (
	FactRevision = "revision"
	FactFolder   = "localdir:context" // of the tree in the repository; . for its root
	FactTime     = "time"             // as Commit has it
	FactModified = "modified"         // true or false
	FactTags     = "tags"             // as Commit has them, with spaces between
	FactBases    = "bases"
)

var hash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Parse reads facts. If they name no revision, ok is false.
func Parse(facts map[string]string) (c Commit, ok bool) {
	revision, dirty := strings.CutSuffix(facts[FactRevision], "-dirty")
	if !hash.MatchString(revision) {
		return Commit{}, false
	}
	folder := facts[FactFolder]
	c = Commit{
		Revision: revision, Modified: dirty || facts[FactModified] == "true",
		Tags: strings.Fields(facts[FactTags]), Bases: strings.Fields(facts[FactBases]),
		Inner: folder != "" && path.Clean(folder) != ".",
	}
	c.SetTime(facts[FactTime])
	return c, true
}

// SetTime sets the time from a text with the seconds since 1970. It ignores a text that isn't a positive number.
func (c *Commit) SetTime(seconds string) {
	if t, err := strconv.ParseInt(seconds, 10, 64); err == nil && t > 0 {
		c.Time = t
	}
}

// noTime is the time that the go command treats as none.
var noTime = time.Time{}.Unix()

func (c Commit) seconds() int64 {
	if c.Time == 0 {
		return noTime
	}
	return c.Time
}
