package testkit

import "regexp"

// Cached says whether, in BuildKit's plain progress, the vertex with a number was taken from a cache. One whose layer is
// fetched, as another step needs it, is: BuildKit marks it as cached, but the status of the fetch has no such mark, and
// the printer tells what it heard last.
func Cached(log, number string) bool {
	return regexp.MustCompile(`(?m)^#` + number + ` (CACHED$|sha256:|extracting )`).MatchString(log)
}
