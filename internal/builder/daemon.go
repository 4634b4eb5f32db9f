package builder

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/cache/remotecache/azblob"
	"github.com/moby/buildkit/cache/remotecache/gha"
	"github.com/moby/buildkit/cache/remotecache/inline"
	"github.com/moby/buildkit/cache/remotecache/local"
	"github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/cache/remotecache/s3"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // faster messages
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/worker"
	"google.golang.org/grpc"
)

// stopLimit bounds how long cancelled builds may take to end. It is rarely
// reached, since the processes of steps are killed.
const stopLimit = 10 * time.Second

// daemon is a BuildKit in this process. It does what buildkitd's main does,
// without what only a service needs (tracing, metrics, build history,
// configuration files).
type daemon struct {
	server   *grpc.Server
	sessions *session.Manager
	stop     stack
}

// startDaemon opens the state under root, and makes a server that is ready to
// serve. Nothing else may use root at that time. For answers see Options.
func startDaemon(root, runtime string, answers http.Handler) (_ *daemon, err error) {
	d := &daemon{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.stop.run())
		}
	}()
	if d.sessions, err = session.NewManager(); err != nil {
		return nil, err
	}
	w, err := newWorker(root, runtime, answers, &d.stop)
	if err != nil {
		return nil, err
	}
	controller, err := d.newController(root, w)
	if err != nil {
		return nil, err
	}
	d.stop.push(controller.Close)
	d.stop.push(w.stop)
	d.server = grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.WaitForHandlers(true), // a build that was cancelled is over when Stop returns
	)
	controller.Register(d.server)
	d.stop.push(func() error { stopServer(d.server, stopLimit); return nil })
	return d, nil
}

// stopServer cancels the running builds, and waits for them no longer than
// limit. An export to a client that failed may never return: fsutil's sender
// queues without looking at the context (moby/buildkit#2950).
func stopServer(s *grpc.Server, limit time.Duration) {
	stopped := make(chan struct{})
	go func() { s.Stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(limit):
		bklog.L.Warnf("a cancelled build didn't end within %v: left", limit)
	}
}

// Close cancels the running builds, waits for them, and closes the state.
func (d *daemon) Close() error { return d.stop.run() }

func (d *daemon) newController(root string, w worker.Worker) (*control.Controller, error) {
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	gatewayFrontend, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(root, "cache.db"))
	if err != nil {
		return nil, err
	}
	d.stop.push(cache.Close)
	historyDB, err := boltutil.SafeOpen(filepath.Join(root, "history.db"), 0o600, unsynced())
	if err != nil {
		return nil, fmt.Errorf("history.db: %w", err)
	}
	d.stop.push(historyDB.Close)
	stopping := make(chan struct{})
	d.stop.push(func() error { close(stopping); return nil })
	exporters, importers := d.remoteCaches(w)
	var noHistory int64
	return control.NewController(control.Opt{
		SessionManager:   d.sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
			"gateway.v0":    gatewayFrontend,
		},
		ResolveCacheExporterFuncs: exporters,
		ResolveCacheImporterFuncs: importers,
		CacheManager:              solver.NewCacheManager(context.Background(), "local", cache, worker.NewCacheResultStorage(workers)),
		HistoryDB:                 historyDB,
		HistoryConfig:             &config.HistoryConfig{MaxEntries: &noHistory}, // nobody could ask for it
		CacheStore:                cache,
		LeaseManager:              w.LeaseManager(),
		ContentStore:              w.ContentStore(),
		GarbageCollect:            w.GarbageCollect,
		GracefulStop:              stopping,
	})
}

// remoteCaches returns the kinds of --cache-to and of --cache-from.
func (d *daemon) remoteCaches(w worker.Worker) (map[string]remotecache.ResolveCacheExporterFunc, map[string]remotecache.ResolveCacheImporterFunc) {
	hosts := resolver.NewRegistryConfig(nil)
	return map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registry.ResolveCacheExporterFunc(d.sessions, hosts),
			"local":    local.ResolveCacheExporterFunc(d.sessions),
			"inline":   inline.ResolveCacheExporterFunc(),
			"gha":      gha.ResolveCacheExporterFunc(nil, nil),
			"s3":       s3.ResolveCacheExporterFunc(),
			"azblob":   azblob.ResolveCacheExporterFunc(),
		}, map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registry.ResolveCacheImporterFunc(d.sessions, w.ContentStore(), hosts),
			"local":    local.ResolveCacheImporterFunc(d.sessions),
			"gha":      gha.ResolveCacheImporterFunc(nil, nil),
			"s3":       s3.ResolveCacheImporterFunc(),
			"azblob":   azblob.ResolveCacheImporterFunc(),
		}
}
