// Command release prints its version and the commit that it was built from.
package main

import (
	"fmt"
	"runtime/debug"

	"example.com/release/internal/greet"
)

func main() {
	fmt.Println(greet.Line())
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision", "vcs.time", "vcs.modified":
			fmt.Printf("%s %s\n", s.Key, s.Value)
		}
	}
}
