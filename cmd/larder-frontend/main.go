// Command larder-frontend is the program in the frontend's image: BuildKit
// starts it for a "# syntax=" line, and it runs the steps inside the builds
// that it makes.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/internal/inbuild"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if args, ok := step.Of(os.Args); ok {
		return inbuild.Main(ctx, args, os.Stdout, os.Stderr)
	}
	if err := grpcclient.RunFromEnvironment(ctx, frontend.Build); err != nil {
		fmt.Fprintf(os.Stderr, "larder-frontend: %v\n", err)
		return 1
	}
	return 0
}
