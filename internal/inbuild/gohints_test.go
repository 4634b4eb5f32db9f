package inbuild

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The lines are go's own, of Go 1.26.
func TestHints(t *testing.T) {
	const readOnly = "larder: the source tree is read-only: "
	for _, tt := range []struct{ said, want string }{
		{"# x\ngo: downloading a.example/b v1.0.0\nmain.go:1: oops\n", "larder: a.example/b@v1.0.0 is needed, and not among the modules of this build: add it to the folder larder-modules, or run 'go mod tidy' if go.sum lacks it\n"},
		{"go: downloading a.example/b v1.0.0\nb/main.go:2:8: mkdir /m/cache: read-only file system\n", "larder: a.example/b@v1.0.0 is needed"},
		{"go: a.example/c@v1.0.0 requires\n\ta.example/b@v1.2.0: module lookup disabled by GOPROXY=off\n", "larder: a.example/b@v1.2.0 is needed"},
		{"go: updates to go.mod needed, disabled by -mod=readonly; to update it:\n\tgo mod tidy\n", "larder: go.mod is not up to date"},
		{"b/main.go:2:8: missing go.sum entry for module providing package rsc.io/quote (imported by x.example/y/b); to add:\n", "larder: go.sum lacks a line"},
		{"go: go.mod requires go >= 1.99.1 (running go 1.26.8; GOTOOLCHAIN=local)\n", "larder: this stage has Go 1.26.8, and no other toolchain is fetched: start it with FROM go:1.99.1, or"},
		{"go: a.example/b@v1.0.0 requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)", "larder: this stage has Go 1.26.8, and no other toolchain is fetched: start it with FROM go:1.99, or"},
		{"x.example/y: go build x.example/y: copying /tmp/go-build364850377/b001/exe/a.out: open y: read-only file system\n", readOnly},
		{"x.example/y: go build x.example/y: mkdir out/: read-only file system\n", readOnly},
		{"open /src/c.out: read-only file system\n", readOnly},
		{"testing: open /src/c.out: read-only file system\n", readOnly},
		{"    main_test.go:3: open g.txt: read-only file system\n", readOnly},
		{"go: build output \"a\" already exists and is a directory\n", "larder: without -o, a binary goes into the source tree"},
		{"fork/exec /tmp/go-build3189161188/b001/exe/a: exec format error\n", "larder: that is compiled for another platform"},
		{"{\"Output\":\"fork/exec /tmp/go-build2/b001/y.test: exec format error\\n\"}\n", "larder: that is compiled for another platform"},
		{"write /tmp/x: no space left on device\n", "larder: the builder's disk is full"},
		{"/usr/local/go/pkg/tool/linux_amd64/link: signal: killed\n", "larder: a process of the go command was killed"},
		{"main.go:3:15: undefined: oops\n--- FAIL: TestX\nmain.go:2:8: package nosuch is not in std\n", ""},
	} {
		for _, size := range []int{1, 7, len(tt.said)} {
			l := &listener{modCache: "/m"}
			for s := tt.said; s != ""; s = s[min(size, len(s)):] {
				n, err := l.Write([]byte(s[:min(size, len(s))]))
				require.NoError(t, err)
				require.Equal(t, min(size, len(s)), n)
			}
			var out bytes.Buffer
			tellHints(&out, l, l)
			require.Equal(t, min(len(tt.want), 1), strings.Count(out.String(), "\n"), out.String())
			require.True(t, strings.HasPrefix(out.String(), tt.want), out.String())
		}
	}
}

func TestHintsAreBounded(t *testing.T) {
	l := new(listener)
	for i := range 100 {
		fmt.Fprintf(l, "go: downloading a.example/b%d v1.0.0\n", i)
	}
	require.Len(t, l.hints, maxHints)
	fmt.Fprint(l, strings.Repeat("x", 3*maxHeard))
	require.Len(t, l.rest, maxHeard)
}
