package gitfetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/larder-build/larder/internal/fetch"
)

// httpRemote speaks git's smart HTTP protocol: see gitprotocol-http(5).
type httpRemote struct {
	client *fetch.Client
	url    *url.URL
}

const (
	service  = "git-upload-pack"
	infoRefs = "/info/refs"
)

func (h *httpRemote) refs(ctx context.Context) (*packp.AdvRefs, error) {
	u := h.url.JoinPath(infoRefs)
	u.RawQuery = "service=" + service
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("it is not a URL that can be asked")
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := h.client.StatusError(resp); err != nil {
		return nil, err
	}
	if resp.Header.Get("Content-Type") != "application/x-"+service+"-advertisement" {
		return nil, errNotGit
	}
	adv, err := readRefs(resp.Body)
	if err != nil {
		return nil, broken(err)
	}
	return adv, h.follow(resp.Request.URL)
}

// follow changes the URL to the one that the server redirected to, as git does. If the host changes, it drops the
// credentials.
func (h *httpRemote) follow(at *url.URL) error {
	path, ok := strings.CutSuffix(at.Path, infoRefs)
	if !ok {
		return fmt.Errorf("it redirects to %s, which is not a repository", at.Host)
	}
	if at.Host != h.url.Host || at.Scheme != h.url.Scheme {
		h.client = h.client.With(nil)
	}
	next := *at
	next.Path, next.RawPath, next.RawQuery, next.User = path, "", "", nil
	h.url = &next
	return nil
}

func (h *httpRemote) pack(ctx context.Context, request []byte) (closer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url.JoinPath(service).String(), bytes.NewReader(request))
	if err != nil {
		return nil, errors.New("it is not a URL that can be asked")
	}
	req.Header.Set("Content-Type", "application/x-"+service+"-request")
	req.Header.Set("Accept", "application/x-"+service+"-result")
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := h.client.StatusError(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return httpAnswer{resp.Body}, nil
}

type httpAnswer struct{ io.ReadCloser }

func (httpAnswer) explain(err error) error { return broken(err) }

// broken returns a TemporaryError for a transfer that broke off, because another try may succeed.
func broken(err error) error {
	var again *fetch.TemporaryError
	if errors.As(err, &again) {
		return again
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &fetch.TemporaryError{Err: errors.New("the transfer broke off")}
	}
	text := strings.TrimPrefix(err.Error(), "unexpected error: ") // go-git's words for what the server says
	return fetch.OneLine(errors.New(strings.TrimSpace(text)))
}
