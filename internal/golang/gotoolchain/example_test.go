package gotoolchain_test

import (
	"fmt"

	"github.com/larder-build/larder/internal/golang/gotoolchain"
)

// A go line is a minimum: the newest pinned patch of its release is taken.
func ExampleChoose() {
	chosen, err := gotoolchain.Choose(gotoolchain.Request{Files: []gotoolchain.VersionFile{{Name: "go.mod", Go: "1.26"}}})
	fmt.Println(chosen.Version, err)
	// Output: go1.26.10 <nil>
}
