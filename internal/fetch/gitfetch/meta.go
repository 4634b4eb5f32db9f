package gitfetch

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// A metaTag is <meta name="go-import" content="PREFIX VCS REPO [SUBDIR]">: see 'go help importpath'.
type metaTag struct{ prefix, vcs, repo, subdir string }

// parseMeta returns the go-import tags in a page's head, module proxies first, in the order of the go command. It stops
// at the first text that it can't parse.
func parseMeta(page []byte) []metaTag {
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Strict = false
	d.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) { return in, nil }
	var proxies, others []metaTag
	for {
		token, err := d.RawToken()
		if err != nil {
			break
		}
		if end, ok := token.(xml.EndElement); ok && strings.EqualFold(end.Name.Local, "head") {
			break
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if strings.EqualFold(start.Name.Local, "body") {
			break
		}
		if !strings.EqualFold(start.Name.Local, "meta") || attr(start, "name") != "go-import" {
			continue
		}
		fields := append(strings.Fields(attr(start, "content")), "")
		if len(fields) != 4 && len(fields) != 5 {
			continue
		}
		tag := metaTag{fields[0], fields[1], fields[2], fields[3]}
		if tag.vcs == "mod" {
			proxies = append(proxies, tag)
		} else {
			others = append(others, tag)
		}
	}
	return append(proxies, others...)
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if strings.EqualFold(a.Name.Local, name) {
			return a.Value
		}
	}
	return ""
}

// match returns the tag for a module path. A proxy's tag is preferred to a repository's; two tags of one kind are an
// error.
func match(tags []metaTag, path string) (metaTag, error) {
	var found []metaTag
	for _, t := range tags {
		if path == t.prefix || strings.HasPrefix(path, t.prefix+"/") {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0 && len(tags) == 0:
		return metaTag{}, fmt.Errorf("the page has no go-import meta tag: check the module path, and the credentials for its host if it is private")
	case len(found) == 0:
		return metaTag{}, fmt.Errorf("the page has go-import meta tags, but none for %s", path)
	case len(found) > 1 && (found[0].vcs == "mod") == (found[1].vcs == "mod"):
		return metaTag{}, fmt.Errorf("the page has several go-import meta tags for %s", path)
	}
	return found[0], nil
}
