package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"
)

// pingLimit is how long GET /db waits for the database.
const pingLimit = 2 * time.Second

// newHandler returns the service's routes.
func newHandler(log *slog.Logger, db *database, tracer trace.TracerProvider) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	r := chi.NewRouter()
	r.Use(observe(log, registry), middleware.Recoverer)
	r.Get("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Hello from the larder.") })
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	r.Get("/selfcheck", func(w http.ResponseWriter, _ *http.Request) {
		report := selfcheck()
		reply(w, log, report.OK, report)
	})
	r.Get("/db", func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), pingLimit)
		defer cancel()
		status := db.status(ctx)
		reply(w, log, status.Reachable || !status.Configured, status)
	})
	return otelhttp.NewHandler(r, "hello", otelhttp.WithTracerProvider(tracer))
}

// observe logs and counts each request by its route. If it counted by path, anybody could make any number of time
// series.
func observe(log *slog.Logger, registry prometheus.Registerer) func(http.Handler) http.Handler {
	seconds := promauto.With(registry).NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time taken to answer a request.", Buckets: prometheus.DefBuckets,
	}, []string{"route", "status"})
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			start := time.Now()
			answer := middleware.NewWrapResponseWriter(w, req.ProtoMajor)
			next.ServeHTTP(answer, req)
			took, route := time.Since(start), chi.RouteContext(req.Context()).RoutePattern()
			seconds.WithLabelValues(route, strconv.Itoa(answer.Status())).Observe(took.Seconds())
			log.InfoContext(req.Context(), "request", "method", req.Method, "path", req.URL.Path,
				"status", answer.Status(), "bytes", answer.BytesWritten(), "took", took)
		})
	}
}

// reply answers with JSON. The status is 503 if ok is false.
func reply(w http.ResponseWriter, log *slog.Logger, ok bool, body any) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Error("reply", "error", err)
	}
}
