package frontend_test

import (
	"context"
	"log"

	"github.com/larder-build/larder/frontend"
	"github.com/moby/buildkit/client"
)

// A client runs the frontend itself: then the builder needs no image of it.
func ExampleFrontend_Build() {
	ctx := context.Background()
	builder, err := client.New(ctx, "unix:///run/buildkit/buildkitd.sock")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := builder.Build(ctx, client.SolveOpt{}, "larder", new(frontend.Frontend).Build, nil); err != nil {
		log.Fatal(err)
	}
}
