package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server may answer before it has all that is sent. What is read of that later is no reason to end the answer.
func TestAnsweredEarly(t *testing.T) {
	p := Policy{HeadWait: 10 * time.Millisecond, Stall: 10 * time.Millisecond}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://a.example", strings.NewReader("question"))
	require.NoError(t, err)
	var sent io.Reader
	var ctx context.Context
	resp, err := p.Send(req, func(r *http.Request) (*http.Response, error) {
		sent, ctx = r.Body, r.Context()
		return &http.Response{Body: io.NopCloser(strings.NewReader("answer"))}, nil
	})
	require.NoError(t, err)
	_, err = io.ReadAll(sent)
	require.NoError(t, err)
	time.Sleep(5 * p.HeadWait)
	require.NoError(t, ctx.Err())
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "answer", string(data))
	require.NoError(t, resp.Body.Close())
	require.Error(t, ctx.Err())
}

// Who reads an answer slowly is not taken for a server that is silent, and a server that is silent is left.
func TestStall(t *testing.T) {
	p := Policy{HeadWait: time.Minute, Stall: 50 * time.Millisecond}
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a.example", nil)
	require.NoError(t, err)
	resp, err := p.Send(req, func(req *http.Request) (*http.Response, error) {
		context.AfterFunc(req.Context(), func() { _ = r.CloseWithError(req.Context().Err()) })
		return &http.Response{Body: r}, nil
	})
	require.NoError(t, err)
	go func() { _, _ = io.WriteString(w, "half") }()
	time.Sleep(3 * p.Stall)
	data := make([]byte, 4)
	_, err = io.ReadFull(resp.Body, data)
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	var silent *SilenceError
	var again *TemporaryError
	require.True(t, errors.As(err, &silent) && errors.As(err, &again), err)
	require.Equal(t, p.Stall, silent.For)
	require.NoError(t, resp.Body.Close())
}
