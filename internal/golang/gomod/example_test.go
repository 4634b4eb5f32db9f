package gomod_test

import (
	"fmt"

	"github.com/larder-build/larder/internal/golang/gomod"
)

// The order of lines, and a line that is there twice, are in no key.
func ExampleParseSums() {
	const lib = "a.example/lib v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	const mod = "b.example/mod v1.2.0/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	one, _ := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(lib + mod)})
	two, _ := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(mod + lib + mod)})
	fmt.Println(len(one.Zips()), one.Key() == two.Key())
	// Output: 1 true
}
