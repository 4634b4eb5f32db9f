package planner_test

import (
	"fmt"
	"testing/fstest"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
)

// A plan is made of a file and its build context, and of nothing else.
func ExampleNew() {
	plan, err := planner.New(planner.Request{
		File:          dockerfile.Parse("Dockerfile", []byte("# syntax=ghcr.io/larder-build/larder:1\nFROM go AS build\nGO build -o /out/ .\n\nFROM static\nCOPY --from=build /out/app /\n")),
		Tree:          fstest.MapFS{"go.mod": {Data: []byte("module example.com/app\n\ngo 1.26\n")}, "main.go": {Data: []byte("package main\n\nfunc main() {}\n")}},
		Platforms:     []string{"linux/amd64"},
		BuildPlatform: "linux/amd64",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, toolchain := range plan.Toolchains {
		fmt.Println(toolchain.Version, "from", toolchain.Source)
	}
	// Output: go1.26.10 from https://proxy.golang.org
}
