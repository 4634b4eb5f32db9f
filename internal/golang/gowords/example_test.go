package gowords_test

import (
	"fmt"

	"github.com/larder-build/larder/internal/golang/gowords"
)

func ExampleOnlyCompiles() {
	fmt.Printf("%q\n", gowords.OnlyCompiles([]string{"build", "-trimpath", "./..."}))
	fmt.Printf("%q\n", gowords.OnlyCompiles([]string{"build", "-toolexec=./wrap", "./..."}))
	// Output:
	// ""
	// "-toolexec may run other programs or write other files"
}

func ExampleExpand() {
	words, err := gowords.Expand(`build -ldflags="-X main.version=${VERSION:-none}" .`, '\\', []string{"VERSION=v1"})
	fmt.Printf("%q %v\n", words, err)
	// Output: ["build" "-ldflags=-X main.version=v1" "."] <nil>
}
