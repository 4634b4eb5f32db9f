// Command hello is a small web service with the parts that most services have: a router, a database pool, traces,
// metrics, structured logs and a graceful stop. It shows what Larder needs to make an image of one: a Dockerfile with
// a single line.
//
// It is set up through the environment: PORT (8080), DATABASE_URL (no database) and the OTEL_EXPORTER_OTLP_* variables
// (no traces).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// stopLimit is how long requests under way may take once the service is told to stop.
const stopLimit = 10 * time.Second

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, log, os.Getenv); err != nil {
		log.Error("stopped", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx is done, then lets the requests under way finish.
func run(ctx context.Context, log *slog.Logger, getenv func(string) string) (err error) {
	tracer, flush, err := newTracer(ctx, getenv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flush(context.WithoutCancel(ctx))) }()
	db := &database{url: getenv("DATABASE_URL")}
	defer db.close()

	port := getenv("PORT")
	if port == "" {
		port = "8080"
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: newHandler(log, db, tracer), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	log.Info("listening", "address", listener.Addr().String(), "uid", os.Getuid())

	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return srv.Shutdown(limit)
}

// newTracer returns a tracer provider, and a function that sends the last spans. The spans go to the collector that
// OpenTelemetry's own variables name, or nowhere if they name none.
func newTracer(ctx context.Context, getenv func(string) string) (trace.TracerProvider, func(context.Context) error, error) {
	if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return noop.NewTracerProvider(), func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("trace exporter: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	return provider, provider.Shutdown, nil
}
