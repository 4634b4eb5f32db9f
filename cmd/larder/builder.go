package main

import (
	"context"
	"fmt"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/spf13/pflag"
)

// builderFlags adds the flags that say which BuildKit to use.
func builderFlags(flags *pflag.FlagSet, o *builder.Options) {
	flags.StringVar(&o.Address, "builder", "", `Address of a BuildKit ("unix://…", "tcp://…"), or "docker" or "embedded" (default: $BUILDKIT_HOST, a running Docker engine, or embedded)`)
	flags.StringVar(&o.StateDir, "state", "", "Folder for the state of the embedded builder (default: in the user's data folder)")
	flags.StringVar(&o.TLS.CACert, "tlscacert", "", "Trust certs signed only by this CA, for a tcp builder")
	flags.StringVar(&o.TLS.Cert, "tlscert", "", "Path to TLS certificate file, for a tcp builder")
	flags.StringVar(&o.TLS.Key, "tlskey", "", "Path to TLS key file, for a tcp builder")
	flags.StringVar(&o.TLS.ServerName, "tlsservername", "", "Name in the certificate of a tcp builder, if not its host")
}

// connect finds the builder, and returns it with the facts about it that a request needs.
func (c *command) connect(ctx context.Context, o builder.Options) (*builder.Builder, request.Builder, error) {
	if o.Address == "" {
		o.Address = c.env["BUILDKIT_HOST"]
	}
	o.DockerHost = c.env["DOCKER_HOST"]
	o.Notice = c.stderr
	b, err := builder.Connect(ctx, o)
	if err != nil {
		return nil, request.Builder{}, err
	}
	facts := request.Builder{DockerEngine: b.Kind == builder.Docker, ContainerdStore: b.ContainerdStore, Embedded: b.Kind == builder.Embedded}
	workers, err := b.ListWorkers(ctx)
	if err != nil {
		b.Close()
		return nil, facts, fmt.Errorf("ask the builder at %s for its workers: %w", b.Address, err)
	}
	if len(workers) > 0 && len(workers[0].Platforms) > 0 {
		facts.Platform = platforms.Format(platforms.Normalize(workers[0].Platforms[0]))
	}
	return b, facts, nil
}
