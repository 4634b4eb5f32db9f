package gomod

import (
	"net/url"
	"strings"
)

// A Proxy is an entry of a GOPROXY list.
type Proxy struct {
	Position int      // in the list, from 1: empty entries count
	Word     string   // off or direct, which end a list; else ""
	Text     string   // with the https:// that a list may leave out; it may have a password
	URL      *url.URL // nil for a word, and for a text that is no URL
	AnyError bool     // the next entry is asked after any error of this one, not only where it lacks a file
}

// ParseProxies reads a GOPROXY list as the go command does: see 'go help goproxy'. Entries end in a comma or, for AnyError, in
// a bar. The list ends at off or direct, because later entries are never reached. The caller has to refuse entries that
// are no URL.
func ParseProxies(list string) (proxies []Proxy) {
	for position := 1; list != ""; position++ {
		text, rest, bar := list, "", false
		if i := strings.IndexAny(list, ",|"); i >= 0 {
			text, rest, bar = list[:i], list[i+1:], list[i] == '|'
		}
		list = rest
		p := Proxy{Position: position, Text: strings.TrimSpace(text), AnyError: bar}
		switch p.Text {
		case "":
			continue
		case "off", "direct":
			p.Word = p.Text
			return append(proxies, p)
		}
		p.Text = WithScheme(p.Text)
		p.URL, _ = url.Parse(p.Text) // whose error quotes the text
		proxies = append(proxies, p)
	}
	return proxies
}

// WithScheme returns a proxy's URL with https://, which the user may leave out.
func WithScheme(text string) string {
	if strings.ContainsAny(text, ".:/") && !strings.Contains(text, ":/") && !strings.HasPrefix(text, "/") {
		return "https://" + text
	}
	return text
}
