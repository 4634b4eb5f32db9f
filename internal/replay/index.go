// Package replay records the answers of servers while a build runs, and gives the same answers later without the
// servers.
//
// A Recorder stands between the steps of a build and the network. A Replayer stands where the network isn't: it answers
// from a recording and from nothing else. A recording is a folder with an index and with the bodies, by their digests.
// Credentials are kept nowhere: see Clean.
package replay

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"
)

// IndexName is the file of a recording that lists the answers: a line of JSON for the head, and one for each of them.
const IndexName = "index.jsonl"

// These are bounds on an index, which comes from outside.
const (
	maxLine    = 64 << 10 // bytes
	maxAnswers = 200_000
)

// An Index lists the answers of a recording.
type Index struct {
	Platforms []string // that were built while it was made
	Answers   []Answer // sorted by URL, then by what was accepted
}

// An Answer is a server's answer to a GET or HEAD of a URL.
type Answer struct {
	URL    string            `json:"url"`              // cleaned
	Accept string            `json:"accept,omitempty"` // the request's header, if the answer goes by it
	Status int               `json:"status"`
	Header map[string]string `json:"header,omitempty"` // those that matter, by canonical name
	Digest digest.Digest     `json:"digest,omitempty"` // of the body; empty for a redirect, and if nothing but a HEAD was asked
	Size   int64             `json:"size"`             // bytes of the body, or -1 if the server told none
	Step   string            `json:"step,omitempty"`   // FILE:LINE of the step that asked
	Time   time.Time         `json:"time"`             // when it came
}

type head struct {
	Format    int      `json:"format"` // 1
	Platforms []string `json:"platforms"`
}

// kept lists the headers of an answer that are recorded. Cookies and challenges aren't, because they are for one
// client.
var kept = []string{
	"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Docker-Content-Digest", "Etag", "Last-Modified", "Location", "Vary",
	"X-Checksum-Md5", "X-Checksum-Sha1", "X-Checksum-Sha256", "X-Linked-Etag", "X-Linked-Size", "X-Repo-Commit",
}

// BodyName returns the name of the file with a body.
func BodyName(d digest.Digest) string { return "sha256/" + d.Encoded() }

func compareAnswers(a, b Answer) int {
	return cmp.Or(cmp.Compare(a.URL, b.URL), cmp.Compare(a.Accept, b.Accept))
}

// Write writes an index with its answers sorted.
func (x Index) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(head{1, append([]string{}, x.Platforms...)}); err != nil {
		return err
	}
	for _, a := range slices.SortedFunc(slices.Values(x.Answers), compareAnswers) {
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
	return out.Flush()
}

// ReadIndex reads an index. A line that differs from what Write would write is an error, which names the line.
func ReadIndex(r io.Reader) (x Index, err error) {
	x.Platforms, err = scan(r, func(a Answer) error {
		x.Answers = append(x.Answers, a)
		return nil
	})
	if err != nil {
		return Index{}, err
	}
	return x, nil
}

// scan reads and checks an index, and calls each for each answer in order. An error of each ends it.
func scan(r io.Reader, each func(Answer) error) (platforms []string, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	fail := func(err error) ([]string, error) {
		return nil, fmt.Errorf("%s, line %d: %w: no larder wrote this recording, or it is damaged: record it anew", IndexName, n, err)
	}
	var last Answer
	for lines.Scan() {
		if n++; n == 1 {
			var h head
			if err := decode(lines.Bytes(), &h); err != nil {
				return fail(err)
			}
			if err := h.check(); err != nil {
				return fail(err)
			}
			platforms = h.Platforms
			continue
		}
		var a Answer
		if err := decode(lines.Bytes(), &a); err != nil {
			return fail(err)
		}
		if err := a.check(); err != nil {
			return fail(err)
		}
		if n > 2 && compareAnswers(last, a) >= 0 {
			return fail(errors.New("answers are out of order, or come twice"))
		}
		if n-2 == maxAnswers {
			return fail(fmt.Errorf("more than %d answers", maxAnswers))
		}
		if err := each(a); err != nil {
			return nil, err
		}
		last = a
	}
	if err := lines.Err(); err != nil {
		n++
		return fail(err)
	}
	if n == 0 {
		return fail(errors.New("it is empty"))
	}
	return platforms, nil
}

func decode(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("a line has more than one value")
	}
	return nil
}

func (h head) check() error {
	if h.Format != 1 {
		return fmt.Errorf("format %d, and this larder reads format 1", h.Format)
	}
	for _, p := range h.Platforms {
		if strings.ContainsFunc(p, unicode.IsControl) {
			return fmt.Errorf("a control character in the platform %q", p)
		}
	}
	return nil
}

// check refuses an answer that a Recorder doesn't write.
func (a Answer) check() error {
	u, err := url.Parse(a.URL)
	switch {
	case err != nil:
		return errors.New("a URL that can't be read")
	case u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || Clean(u) != a.URL:
		return fmt.Errorf("the URL %.200q isn't one of a web server as a recording has it", a.URL)
	case a.Status < 200 || a.Status > 499 || never(a.Status):
		return fmt.Errorf("%.200s: the status %d, which isn't kept", a.URL, a.Status)
	case redirects(a.Status) && (a.Digest != "" || a.Size != 0):
		return fmt.Errorf("%.200s: a redirect with a body, which isn't kept", a.URL)
	case a.Size < -1 || a.Size < 0 && a.Digest != "":
		return fmt.Errorf("%.200s: a body of %d bytes", a.URL, a.Size)
	}
	if a.Digest != "" && (a.Digest.Validate() != nil || a.Digest.Algorithm() != digest.SHA256) {
		return fmt.Errorf("%.200s: %.100q is no digest", a.URL, a.Digest)
	}
	for name, value := range a.Header {
		if !slices.Contains(kept, name) {
			return fmt.Errorf("%.200s: the header %.100q, which isn't kept", a.URL, name)
		}
		if strings.ContainsFunc(value, unicode.IsControl) || !isHeader(value) {
			return fmt.Errorf("%.200s: the header %s has a control character", a.URL, name)
		}
	}
	for _, text := range []string{a.Accept, a.Step} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("%.200s: a control character in %.100q", a.URL, text)
		}
	}
	return nil
}

func isHeader(value string) bool { return textproto.TrimString(value) == value && len(value) < maxLine }

// redirects reports whether a status is that of a redirect.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// never reports whether an answer with a status is for one client or one moment only, so that it is never kept.
func never(status int) bool {
	switch status {
	case http.StatusPartialContent, http.StatusNotModified, http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout,
		http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status < 200 || status >= 500
}
