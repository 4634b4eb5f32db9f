package planner

import (
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// A notingFS notes which Go files are opened.
type notingFS struct {
	fs.FS
	mu     sync.Mutex
	opened []string
}

func (n *notingFS) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".go") {
		n.mu.Lock()
		n.opened = append(n.opened, name)
		n.mu.Unlock()
	}
	return n.FS.Open(name)
}

// Modules of a workspace are looked through for programs only where that may find the one that is meant: each file that is
// read is a call to the builder.
func TestPickReadsLittle(t *testing.T) {
	const main, lib = "package main\n\nfunc main() {}\n", "package lib\n"
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"go.work": "go 1.26\n\nuse (\n\t.\n\t./ctl\n\t./lib\n)\n",
		"go.mod":  "module example.com/m\n", "cmd/app/main.go": main, "deep/er/x.go": lib,
		"ctl/go.mod": "module example.com/ctl\n", "ctl/main.go": main, "ctl/deep/x.go": lib,
		"lib/go.mod": "module example.com/lib\n", "lib/lib.go": lib, "lib/deep/x.go": lib, "lib/deep/tool/main.go": main,
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for target, want := range map[string]struct {
		dir, unread string
	}{
		"":                {"./cmd/app", "ctl/ lib/ deep/"},
		"app":             {"./cmd/app", "ctl/ lib/ deep/"},
		"./cmd/app":       {"./cmd/app", "ctl/ lib/ deep/"},
		"ctl":             {"./ctl", "ctl/deep lib/deep deep/"},
		"./ctl":           {"./ctl", "ctl/deep lib/ deep/"},
		"tool":            {"./lib/deep/tool", "ctl/deep deep/"},
		"./lib/deep/tool": {"./lib/deep/tool", "ctl/ lib/lib.go deep/"},
	} {
		tree := &notingFS{FS: files}
		mod, err := readModule(tree, ".", false)
		require.NoError(t, err)
		picked, err := newPrograms(Request{Tree: tree}, mod, "linux", "amd64").pick(target, false)
		require.NoError(t, err, target)
		require.Len(t, picked, 1, target)
		require.Equal(t, want.dir, picked[0].Dir, target)
		for _, name := range tree.opened {
			for unread := range strings.FieldsSeq(want.unread) {
				require.False(t, strings.HasPrefix(name, unread), "%q reads %s", target, name)
			}
		}
	}
}
