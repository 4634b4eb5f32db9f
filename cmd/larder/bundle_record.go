package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/larder-build/larder/internal/replay"
	"github.com/moby/buildkit/client"
)

// record builds the Dockerfiles of some folders from the bundle, and returns a folder with what servers answered to the
// steps. It returns nil if no server was asked. It uses a builder of its own with an empty cache, because a cached step
// doesn't run, and nothing of it would be recorded.
func (c *command) record(f *createFlags, b *bundle.Bundle, roots []byte) (recorded fs.FS, err error) {
	state, err := recordState(f.state)
	if err != nil {
		return nil, err
	}
	upstream, err := upstream(roots)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.Dir(), ".staging", "recorded") // which the next run removes if this one is killed
	rec, err := replay.NewRecorder(dir, upstream)
	if err != nil {
		return nil, err
	}
	n := &network{answers: rec, places: &request.Places{}}
	rec.Step = n.step
	stop, err := n.serve(c.ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	o := builder.Options{Address: builder.Embedded, StateDir: state, Answers: rec, Notice: c.stderr}
	if err := c.emptyBuilder(o); err != nil {
		return nil, err
	}
	builds, err := f.builds()
	if err != nil {
		return nil, err
	}
	for _, build := range builds {
		if build.File == "" {
			continue // no step of such a build asks a server
		}
		if err := c.recordBuild(b, n, o, build, f.progress); err != nil {
			return nil, fmt.Errorf("recording the build of %s: %w", build.File, err)
		}
	}
	x, err := rec.Finish(f.Platforms)
	if err = errors.Join(err, builder.RemoveState(state)); err != nil {
		return nil, err
	}
	for _, m := range rec.Lost() {
		c.warn("not recorded: " + m.String())
	}
	if len(x.Answers) == 0 {
		return nil, nil
	}
	return os.DirFS(dir), nil
}

// recordState returns the state folder of the builder that records. It is beside the one for builds, or inside the one
// given.
func recordState(given string) (string, error) {
	if given != "" {
		return filepath.Join(given, "record"), nil
	}
	dir, err := builder.DefaultStateDir()
	return dir + "-record", err
}

// emptyBuilder removes the cache that a killed run has left in the builder that records.
func (c *command) emptyBuilder(o builder.Options) (err error) {
	if _, err := os.Stat(o.StateDir); err != nil {
		return nil
	}
	b, err := builder.Connect(c.ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(b.Prune(c.ctx, nil, client.PruneAll), b.Close())
}

// builds returns the builds of --record and --compile: each Dockerfile to its last stage, or to the stages that --target
// names. A tree that has none is built without: the build has no File then.
func (f *createFlags) builds() (list []request.Options, err error) {
	targets := f.targets
	if len(targets) == 0 {
		targets = []string{""}
	}
	for _, tree := range f.Dirs {
		files := f.dockerfiles
		if len(files) == 0 {
			if files, err = dockerfiles(tree); err != nil {
				return nil, err
			}
		}
		if len(files) == 0 {
			files = []string{""}
		}
		for _, file := range files {
			for _, target := range targets {
				list = append(list, request.Options{
					Context: tree, File: file, Target: target, BuildArgs: f.args, Platforms: f.Platforms, Secrets: f.secrets, Outputs: []string{"type=cacheonly"}, Network: "default",
				})
			}
		}
	}
	return list, nil
}

// addImages adds the images that the Dockerfiles of --file name.
func (f *createFlags) addImages(c *command) error {
	h := c.host()
	for _, file := range f.dockerfiles {
		images, _, err := request.ImageContexts(c.ctx, request.Options{Context: f.Dirs[0], File: file, BuildArgs: f.args, Platforms: f.Platforms}, &h)
		if err != nil {
			return fmt.Errorf("--file %s: %w", file, err)
		}
		if !f.NoImages {
			f.Images = append(f.Images, images...)
		}
	}
	return nil
}

// checkRecord refuses combinations of flags that make no sense with --record or --file.
func (f *createFlags) checkRecord() error {
	switch {
	case f.record && f.since != "":
		return errors.New("--record needs a whole bundle to build with: record into one without --since, and make the delta with --from of it")
	case !f.record && !f.compile && len(f.targets) > 0:
		return errors.New("--target says what --record and --compile build, and neither is given: a bundle has what all stages need")
	case len(f.dockerfiles) > 0 && len(f.Dirs) != 1:
		return fmt.Errorf("--file is of the build of one folder, and %d are named", len(f.Dirs))
	case slices.Contains(f.dockerfiles, "-"):
		return errors.New("--file -: name a file: it is read more than once")
	}
	return nil
}

// recordBuild runs one build on the builder that records.
func (c *command) recordBuild(b *bundle.Bundle, n *network, o builder.Options, build request.Options, progress string) error {
	h := c.host()
	args, err := request.BuildArgs(build.BuildArgs, h.Env)
	if err != nil {
		return err
	}
	if offline, err := strconv.ParseBool(args["LARDER_OFFLINE"]); err == nil && offline {
		return errors.New("--record asks servers, and LARDER_OFFLINE=1 forbids that: leave one of them out")
	}
	whole, err := filepath.Abs(build.Context)
	if err != nil {
		return err
	}
	n.places.Dir = filepath.Base(whole)
	images, _, err := request.ImageContexts(c.ctx, build, &h)
	if err != nil {
		return err
	}
	if build.BuildContexts, err = b.Contexts(c.ctx, images); err != nil {
		return err
	}
	req, err := request.New(c.ctx, build, h)
	if err != nil {
		return err
	}
	req.AnswerBy(n.address)
	_, err = c.solve(&frontend.Frontend{Folders: req.Folders(), Answered: true}, req, o, buildDisplay(progress), watcher{places: n.places})
	return err
}

// dockerfiles lists the files directly in a folder whose names are those of Dockerfiles.
func dockerfiles(tree string) (list []string, err error) {
	entries, err := os.ReadDir(tree)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		base, _, _ := strings.Cut(e.Name(), ".")
		if !e.IsDir() && !strings.HasSuffix(e.Name(), ".dockerignore") && (base == "Dockerfile" || base == "Containerfile" || strings.HasSuffix(e.Name(), ".Dockerfile")) {
			list = append(list, filepath.Join(tree, e.Name()))
		}
	}
	return list, nil
}

// upstream returns a transport that asks servers as the go command does here: through the environment's proxies,
// trusting the authorities of this machine and those that were given as PEM.
func upstream(roots []byte) (http.RoundTripper, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: 2 * time.Minute, IdleConnTimeout: time.Minute,
	}
	if len(roots) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(roots) {
			return nil, errors.New("--ca: it holds no certificate in PEM")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return t, nil
}

// recordings opens the recordings of bundles that a new one is made from. The caller closes the views.
func recordings(ctx context.Context, bundles []*bundle.Bundle) (fs.FS, bundle.Views, error) {
	var list []fs.FS
	var views bundle.Views
	for _, b := range bundles {
		v, err := b.Recorded(ctx)
		if err != nil {
			return nil, views, err
		}
		if v != nil {
			list, views = append(list, v), append(views, v)
		}
	}
	if len(list) == 0 {
		return nil, views, nil
	}
	joined, err := replay.Join(slices.Clip(list)...)
	return joined, views, err
}
