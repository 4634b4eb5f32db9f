package builder

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/diff/apply"
	ctdmetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/util/resolver"
	buildkitversion "github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/label"
	"github.com/moby/sys/userns"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
)

// namespace is the namespace that BuildKit uses in containerd's stores.
const namespace = "buildkit"

// workerRoot returns the folder of a worker's state. Its name includes the
// snapshotter, since one can't read what another has written.
func workerRoot(root, snapshotter string) string { return filepath.Join(root, "runc-"+snapshotter) }

// executorRoot returns the folder where the executor keeps one folder for each running container.
func executorRoot(workerRoot string) string { return filepath.Join(workerRoot, "executor") }

// newWorker makes an OCI worker on root, and pushes functions that close its stores. It connects
// the same parts as BuildKit's worker/runc. That package keeps the stores to itself, so that they
// can't be closed, and it starts a proxy network that costs a key pair. For answers see Options.
func newWorker(root, runtime string, answers http.Handler, stop *stack) (*stoppable, error) {
	go archutil.SupportedPlatforms(true) // it runs programs for a while, and the first client asks
	name := snapshotterName(root)
	root = workerRoot(root, name)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	networks := map[pb.NetMode]network.Provider{
		pb.NetMode_UNSET: network.NewHostProvider(),
		pb.NetMode_HOST:  network.NewHostProvider(),
		pb.NetMode_NONE:  network.NewNoneProvider(),
	}
	var answered *stepNetwork
	if answers != nil {
		var err error
		if answered, err = newStepNetwork(root, answers); err != nil {
			return nil, err
		}
	}
	executor, err := newExecutor(root, runtime, networks, answered)
	if err != nil {
		return nil, err
	}
	opt, err := openStores(root, name, stop)
	if err != nil {
		return nil, err
	}
	if opt.ID, err = base.ID(root); err != nil {
		return nil, err
	}
	opt.Executor = executor
	opt.NetworkProviders = networks
	opt.Labels = map[string]string{
		label.Executor:       "oci",
		label.Snapshotter:    name,
		label.Network:        "host",
		label.OCIProcessMode: processMode().String(),
	}
	opt.Platforms = []ocispecs.Platform{platforms.Normalize(platforms.DefaultSpec())}
	opt.GCPolicy = gcPolicy(cacheLimit(root))
	opt.BuildkitVersion = client.BuildkitVersion{
		Package: buildkitversion.Package, Version: buildkitversion.Version, Revision: buildkitversion.Revision,
	}
	opt.RegistryHosts = resolver.NewRegistryConfig(nil)
	w, err := base.NewWorker(context.Background(), opt)
	if err != nil {
		return nil, err
	}
	return newStoppable(w), nil
}

// newExecutor makes the executor that runs steps. If answered is nil, it has no proxy network.
func newExecutor(root, runtime string, networks map[pb.NetMode]network.Provider, answered *stepNetwork) (executor.Executor, error) {
	// A monitor that is closed records nothing. One that records removes each
	// container only later, in the background, when the process may be gone.
	monitor, err := resources.NewMonitor()
	if err != nil {
		return nil, err
	}
	if err := monitor.Close(); err != nil {
		return nil, err
	}
	opt := runcexecutor.Opt{
		Root:              executorRoot(root),
		CommandCandidates: []string{runtime},
		Rootless:          userns.RunningInUserNS(),
		ProcessMode:       processMode(),
		ResourceMonitor:   monitor,
	}
	if answered != nil {
		opt.ProxyProvider = answered
	}
	e, err := runcexecutor.New(opt, networks)
	return stepTeller{e}, err
}

// openStores opens the snapshots, contents, leases and metadata under root.
func openStores(root, name string, stop *stack) (opt base.WorkerOpt, err error) {
	snapshotter, err := newSnapshotter(filepath.Join(root, "snapshots"), name)
	if err != nil {
		return opt, fmt.Errorf("snapshotter %s: %w", name, err)
	}
	stop.push(snapshotter.Close)
	contents, err := contentlocal.NewStore(filepath.Join(root, "content"))
	if err != nil {
		return opt, err
	}
	db, err := bolt.Open(filepath.Join(root, "containerdmeta.db"), 0o600, unsynced())
	if err != nil {
		return opt, fmt.Errorf("containerdmeta.db: %w", err)
	}
	stop.push(db.Close)
	stores := ctdmetadata.NewDB(db, contents, map[string]snapshots.Snapshotter{name: snapshotter})
	if err := stores.Init(context.Background()); err != nil {
		return opt, err
	}
	items, err := metadata.NewStore(filepath.Join(root, "metadata_v2.db"))
	if err != nil {
		return opt, err
	}
	stop.push(items.Close)
	if db, ok := items.DB().(*bolt.DB); ok { // else it is slow, but right
		db.NoSync = true
	}
	content := containerdsnapshot.NewContentStore(stores.ContentStore(), namespace)
	return base.WorkerOpt{
		Root:           root,
		MetadataStore:  items,
		Snapshotter:    containerdsnapshot.NewSnapshotter(name, stores.Snapshotter(name), namespace, nil),
		ContentStore:   content,
		Applier:        apply.NewFileSystemApplier(content),
		Differ:         walking.NewWalkingDiff(content),
		LeaseManager:   leaseutil.WithNamespace(ctdmetadata.NewLeaseManager(stores), namespace),
		GarbageCollect: stores.GarbageCollect,
		MountPoolRoot:  filepath.Join(root, "cachemounts"),
	}, nil
}

// newSnapshotter opens the snapshotter of a name, with databases that don't
// wait for the disk if it can. Its overlayfs removes files at once, unlike
// buildkitd's. buildkitd removes them later, but a process that lives for one
// build may end before that.
func newSnapshotter(root, name string) (snapshots.Snapshotter, error) {
	if name != "overlayfs" {
		return native.NewSnapshotter(root)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	store, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"), func(o *bolt.Options) error {
		o.NoSync = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return overlay.NewSnapshotter(root, overlay.WithMetaStore(store))
}

// unsynced returns options for a database that doesn't wait for the disk: see
// folder.beginUnsynced.
func unsynced() *bolt.Options {
	return &bolt.Options{FreelistType: bolt.FreelistMapType, NoSync: true}
}
