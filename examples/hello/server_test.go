package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func handler(url string) http.Handler {
	return newHandler(slog.New(slog.DiscardHandler), &database{url: url}, noop.NewTracerProvider())
}

func TestRoutes(t *testing.T) {
	h := handler("")
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/":        {http.StatusOK, "Hello from the larder.\n"},
		"/healthz": {http.StatusOK, "ok\n"},
		"/db":      {http.StatusOK, `{"configured":false,"reachable":false,"connections":0}` + "\n"},
		"/nowhere": {http.StatusNotFound, "404 page not found\n"},
	} {
		w := get(t, h, path)
		require.Equal(t, want.status, w.Code, path)
		require.Equal(t, want.body, w.Body.String(), path)
	}
}

func TestMetricsCountByRoute(t *testing.T) {
	h := handler("")
	get(t, h, "/healthz")
	get(t, h, "/nowhere/1")
	get(t, h, "/nowhere/2")
	body := get(t, h, "/metrics").Body.String()
	require.Contains(t, body, `http_request_duration_seconds_count{route="/healthz",status="200"} 1`)
	require.NotContains(t, body, "nowhere")
}

func TestDatabaseThatIsDown(t *testing.T) {
	w := get(t, handler("postgres://nobody@127.0.0.1:1/none"), "/db")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	var status databaseStatus
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &status))
	require.True(t, status.Configured)
	require.False(t, status.Reachable)
	require.NotEmpty(t, status.Error)
}

func TestRequestsAreTraced(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := trace.NewTracerProvider(trace.WithSpanProcessor(spans))
	get(t, newHandler(slog.New(slog.DiscardHandler), &database{}, tracer), "/")
	require.Len(t, spans.Ended(), 1)
}

func TestSelfcheckTellsTheUser(t *testing.T) {
	var got report
	require.NoError(t, json.Unmarshal(get(t, handler(""), "/selfcheck").Body.Bytes(), &got))
	require.Equal(t, os.Getuid(), got.UID)
	require.Equal(t, os.Getgid(), got.GID)
	require.True(t, got.Tmp)
}

func TestCountRoots(t *testing.T) {
	const root = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	file := filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(file, []byte("# one\n"+root+"\n# two\n"+root), 0o600))
	n, err := countRoots(file)
	require.NoError(t, err)
	require.Equal(t, 2, n)

	require.NoError(t, os.WriteFile(file, []byte("none"), 0o600))
	_, err = countRoots(file)
	require.ErrorContains(t, err, "holds no certificate")
	_, err = countRoots(file + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRunServesUntilToldToStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	logs, w := io.Pipe()
	done := make(chan error, 1)
	env := map[string]string{"PORT": "0"}
	go func() {
		done <- run(ctx, slog.New(slog.NewJSONHandler(w, nil)), func(k string) string { return env[k] })
		w.Close()
	}()
	var line struct{ Address string }
	dec := json.NewDecoder(logs)
	require.NoError(t, dec.Decode(&line))
	go func() { _, _ = io.Copy(io.Discard, io.MultiReader(dec.Buffered(), logs)) }()
	_, port, err := net.SplitHostPort(line.Address)
	require.NoError(t, err)

	res, err := http.Get("http://127.0.0.1:" + port + "/healthz")
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	stop()
	require.NoError(t, <-done)
}
