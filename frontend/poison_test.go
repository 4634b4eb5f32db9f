package frontend_test

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// poisoned is a module whose code, wherever it runs, changes all compiled packages that it finds: those with the text
// "harmless" get another of the same length, which is what the go command looks at. Its program app prints that text.
func poisoned(g *gateway) {
	g.context = testkit.Tree(g.t, `
-- go.mod --
module example.com/poison

go 1.26

tool example.com/poison/cmd/poison
-- lib/lib.go --
package lib

var Name = "harmless"
-- cmd/app/main.go --
package main

import (
	"fmt"

	"example.com/poison/lib"
)

var version = "none"

func main() { fmt.Println(lib.Name, version) }
-- evil/evil.go --
package evil

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/poison/lib"
)

// Poison changes what it finds, and says what it sees of lib.
func Poison() {
	good, bad := []byte(strings.Join([]string{"harm", "less"}, "")), []byte(strings.Join([]string{"poi", "soned"}, ""))
	changed := 0
	filepath.WalkDir("/", func(name string, d fs.DirEntry, err error) error {
		if name == "/proc" || name == "/sys" {
			return fs.SkipDir
		}
		if err != nil || !strings.HasSuffix(name, "-d") || !d.Type().IsRegular() {
			return nil
		}
		if data, err := os.ReadFile(name); err == nil && bytes.Contains(data, good) {
			os.Chmod(name, 0o666)
			if os.WriteFile(name, bytes.ReplaceAll(data, good, bad), 0o666) == nil {
				changed++
			}
		}
		return nil
	})
	fmt.Println("changed", changed, "packages, and lib is", lib.Name)
}
-- evil/evil_test.go --
package evil

import "testing"

func TestPoison(t *testing.T) { Poison() }
-- cmd/poison/main.go --
package main

import "example.com/poison/evil"

func main() { evil.Poison() }
-- cmd/takeover/main.go --
// Command takeover puts itself in the place of the stage's toolchain, and leads /out into a folder.
package main

import (
	"os"
	"path/filepath"
)

func main() {
	self, _ := os.Executable()
	data, _ := os.ReadFile(self)
	tools, _ := filepath.Glob("/usr/local/go/pkg/tool/*/*")
	for _, name := range append(tools, "/usr/local/go/bin/go") {
		os.Remove(name)
		if err := os.WriteFile(name, data, 0o755); err != nil {
			panic(err)
		}
	}
	if err := os.Symlink(os.Args[1], "/out"); err != nil {
		panic(err)
	}
}
`)
}

// What runs code of the tree decides nothing about what a compiling step links, in its own build or in another.
func poison(g *gateway) {
	t := g.t
	poisoned(g)
	clean := func(name string) {
		g.file("FROM go AS build\nGO build -ldflags=\"-X main.version=" + name + "\" -o /app ./cmd/app\nFROM scratch\nCOPY --from=build /app /app\n")
		root, log := g.export()
		require.Len(t, ran(log), 1, "%s: it is linked anew", log)
		require.Equal(t, "harmless "+name+"\n", testkit.Run(t, filepath.Join(root, "app")), name)
	}
	mounts := ""
	for i, id := range []string{"larder:/compile/example.com/poison/" + toolchain, "/larder:/compile/example.com/poison/" + toolchain,
		"../larder:/compile/example.com/poison/" + toolchain, "larder-caches/compile/example.com/poison/" + toolchain,
		"larder:/std/" + toolchain, "larder-go/example.com/poison/" + toolchain} {
		mounts += fmt.Sprintf(" --mount=type=cache,id=%s,target=/c%d", id, i)
	}
	g.file("FROM go AS build\nGO build -o /app ./cmd/app\nFROM scratch\nCOPY --from=build /app /app\n")
	g.export()
	for _, attack := range []struct{ name, file string }{
		{"test", "FROM go AS build\nGO test -v ./evil\n"},
		{"tests", "FROM go AS build\nGO test -v -count=1 ./evil\n"}, // which see what the first has left
		{"run", "FROM go AS build\nGO run ./cmd/poison\n"},
		{"tool", "FROM go AS build\nGO tool poison\n"},
		{"mounts", "FROM go AS evil\nGO build -o /evil ./cmd/poison\nFROM go AS build\nCOPY --from=evil /evil /evil\nRUN --mount=type=gocache,target=/c" + mounts + " [\"/evil\"]\n"},
		{"a program that is asked for compiled packages", "FROM go AS evil\nGO build -o /evil ./cmd/poison\nFROM go AS build\nCOPY --from=evil /evil /evil\nENV GOCACHEPROG=/evil PATH=/\nGO build -o /x ./cmd/app\n"},
	} {
		g.file(attack.file + "FROM scratch\nCOPY --from=build /etc/passwd /\n")
		_, log := g.export()
		switch attack.name {
		case "test":
			require.Regexp(t, `changed [1-9]\d* packages`, log, "%s: the attack does nothing", attack.name)
		case "tests", "run", "tool":
			require.Contains(t, log, "lib is poisoned", "what runs code has what others that run code have left: the attack works")
		case "mounts":
			require.Contains(t, log, "packages, and lib is harmless", "a line that runs code doesn't decide what one links")
		default:
			require.NotContains(t, log, "changed")
		}
		clean(strings.ReplaceAll(attack.name, " ", "-"))
	}

	g.file("FROM go AS build\nGO run ./cmd/takeover /elsewhere\nGO build -o /clean/app ./cmd/app\nFROM scratch\nCOPY --from=build /clean/app /app\n")
	root, _ := g.export()
	require.Equal(t, "harmless none\n", testkit.Run(t, filepath.Join(root, "app")), "a line that compiles doesn't run what a stage has")
	g.file("FROM go AS build\nGO run ./cmd/takeover /.larder/cache/00\nGO build -o /out/app ./cmd/app\n")
	require.Contains(t, g.fails(), "/out/app is in /.larder, which is Larder's own: write the output elsewhere")
	g.file("FROM go AS build\nGO --stdout=/.larder/cache/00/x build -n -o /x ./cmd/app\n")
	require.Contains(t, g.fails(), "/.larder/cache/00/x is in /.larder, which is Larder's own")

	// What all that left is what an empty builder makes.
	sub := *g
	sub.addr = testkit.Buildkitd(t, nil)
	g.file("FROM go AS build\nGO build -ldflags=\"-X main.version=end\" -o /app ./cmd/app\nFROM scratch\nCOPY --from=build /app /app\n")
	require.Equal(t, sub.digest(), g.digest(), "the image differs by what was in the caches")
}

// The same for lines that compile with what an image has, as long as no code of the tree ran in their stage.
func poisonInImage(g *gateway, golang string) {
	t := g.t
	poisoned(g)
	clean := func(name string) {
		g.file("FROM " + golang + " AS build\nGO build -ldflags=\"-X main.version=" + name + "\" -o /app ./cmd/app\nFROM scratch\nCOPY --from=build /app /app\n")
		root, _ := g.export()
		require.Equal(t, "harmless "+name+"\n", testkit.Run(t, filepath.Join(root, "app")))
	}
	clean("first")
	g.file("FROM " + golang + " AS build\nGO test -v -count=1 ./evil\nGO build -o /app ./cmd/app\nFROM scratch\nCOPY --from=build /app /app\n")
	_, log := g.export()
	require.Regexp(t, `changed [1-9]\d* packages`, log)
	clean("second")
}
