package gitfetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"

	"github.com/larder-build/larder/internal/fetch"
)

// A closer is an answer that is being read. Its explain returns the reason why reading failed.
type closer interface {
	io.ReadCloser
	explain(err error) error
}

// maxRefs bounds the list of a server's branches and tags.
const maxRefs = 64 << 20

var errNotGit = errors.New("what answers there is not a git server: check the path")

// readRefs reads the server's list of branches and tags.
func readRefs(r io.Reader) (*packp.AdvRefs, error) {
	var head headWriter
	limited := &limitReader{r: r, left: maxRefs}
	adv := packp.NewAdvRefs()
	err := adv.Decode(io.TeeReader(limited, &head))
	var said *pktline.ErrorLine
	switch {
	case strings.Contains(string(head.data), "object-format=sha256"):
		return nil, errors.New("its objects have SHA-256 names, which Larder doesn't read: fetch it through a module proxy")
	case limited.err != nil:
		return nil, limited.err
	case errors.As(err, &said):
		return nil, fmt.Errorf("the server says: %w", fetch.OneLine(errors.New(strings.TrimSpace(said.Text))))
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && adv.IsEmpty():
		return nil, errors.New("the repository is empty")
	case err != nil && len(head.data) == 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, errNotGit
	}
	return adv, nil
}

// headWriter keeps the first bytes that pass.
type headWriter struct{ data []byte }

func (w *headWriter) Write(p []byte) (int, error) {
	if room := 4096 - len(w.data); room > 0 {
		w.data = append(w.data, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// newRequest makes a request for some objects and everything that they need. Depth 1 means without history, and 0 with
// all of it.
func newRequest(can *capability.List, wants []plumbing.Hash, depth int, filter packp.Filter) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequest()
	req.Wants = wants
	req.Depth = packp.DepthCommits(depth)
	req.Filter = filter
	use := func(names ...capability.Capability) {
		for _, name := range names {
			if can.Supports(name) {
				_ = req.Capabilities.Set(name) // these take no value
				return
			}
		}
	}
	use(capability.MultiACKDetailed, capability.MultiACK) // there is nothing to acknowledge, but some servers insist
	use(capability.Sideband64k, capability.Sideband)
	use(capability.OFSDelta)
	use(capability.NoProgress)
	if depth > 0 {
		use(capability.Shallow)
	}
	if filter != "" {
		use(capability.Filter)
	}
	return req
}

func encodeRequest(req *packp.UploadPackRequest) ([]byte, error) {
	var b bytes.Buffer
	if err := req.UploadRequest.Encode(&b); err != nil {
		return nil, err
	}
	err := pktline.NewEncoder(&b).EncodeString("done\n")
	return b.Bytes(), err
}

// openPack reads an answer up to its pack, and returns a reader of the pack.
func openPack(answer io.ReadCloser, req *packp.UploadPackRequest) (io.Reader, error) {
	resp := packp.NewUploadPackResponse(req)
	if err := resp.Decode(answer); err != nil {
		return nil, err
	}
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, resp), nil
	case req.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, resp), nil
	}
	return resp, nil
}

// limitReader is a reader that fails after a number of bytes. Its err is that failure, or the error of the reader
// below.
type limitReader struct {
	r    io.Reader
	left int64
	err  error
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		err = errors.New("it sends more than Larder takes from a repository")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}
