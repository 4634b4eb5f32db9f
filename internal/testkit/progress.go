package testkit

import "regexp"

// Cached reports whether a vertex came from a cache, by its number in BuildKit's plain progress. A vertex counts as
// cached, too, if its layer is fetched because another step needs it. BuildKit marks it as cached, but the progress of
// the fetch has no such mark, and the printer shows the last that it heard.
func Cached(log, number string) bool {
	return regexp.MustCompile(`(?m)^#` + number + ` (CACHED$|sha256:|extracting )`).MatchString(log)
}
