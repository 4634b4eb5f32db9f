package planner

import (
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// What the rule says of the platforms that a RUN compiles for.
func TestUnknownPlatformOfRun(t *testing.T) {
	const (
		golang = "FROM --platform=$BUILDPLATFORM golang:1.26 AS build\n"
		args   = golang + "ARG TARGETOS TARGETARCH\n"
		knows  = ": the go command compiles for no such platform: of linux it knows linux/386, linux/amd64, linux/arm, linux/arm64, "
	)
	for _, tt := range []struct{ name, platforms, file, want string }{
		{"known", "linux/arm64,linux/s390x", args + "RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build .\n", ""},
		{"by --platform", "linux/pdp11", args + "RUN GOOS=$TARGETOS GOARCH=${TARGETARCH} go build .\n", "line 4: go build . is to compile for linux/pdp11" + knows},
		{"the second platform", "linux/amd64,linux/pdp11", args + "RUN env GOARCH=\"$TARGETARCH\" go test .\n", "line 4: go test . is to compile for linux/pdp11" + knows},
		{"by ENV of ARG", "linux/pdp11", args + "ENV GOARCH=$TARGETARCH\nRUN go build .\n", "line 5: go build . is to compile for linux/pdp11" + knows},
		{"by export", "linux/pdp11", args + "RUN export GOARCH=$TARGETARCH && go vet .\n", "line 4: go vet . is to compile for linux/pdp11" + knows},
		{"of a go stage", "linux/pdp11", "FROM go\nRUN [\"go\", \"build\", \".\"]\n", "line 3: go build . is to compile for linux/pdp11" + knows},
		{"of a go stage that is the builder's", "linux/pdp11", "FROM go\nENV GOOS= GOARCH=\nRUN [\"go\", \"build\", \".\"]\n", ""},
		{"not for the target", "linux/pdp11", args + "RUN go build .\n", ""},
		{"without ARG", "linux/pdp11", golang + "RUN GOARCH=$TARGETARCH go build .\n", ""},
		{"mapped by the script", "linux/pdp11", args + "RUN case $TARGETARCH in pdp11) export GOARCH=arm;; esac; go build .\n", ""},
		{"a typo", "linux/amd64", golang + "RUN GOARCH=amd46 go build .\n", "line 3: go build . is to compile for linux/amd46" + knows},
		{"a typo in a build argument", "linux/amd64", golang + "ARG ARCH=amd46\nRUN GOARCH=$ARCH go build .\n", "line 4: go build . is to compile for linux/amd46" + knows},
		{"no such system", "linux/amd64", golang + "ENV GOOS=lunix\nRUN go build .\n", "line 4: go build . is to compile for lunix: the go command compiles for no system lunix: name one such as linux/amd64"},
		{"no such pair", "linux/amd64", golang + "RUN GOOS=plan9 GOARCH=s390x go build .\n", "line 3: go build . is to compile for plan9/s390x: the go command compiles for no such platform: of plan9 it knows plan9/386, plan9/amd64, plan9/arm"},
		{"of older releases", "linux/amd64", "FROM golang:1.14\nRUN GOOS=windows GOARCH=arm go build . && GOOS=darwin GOARCH=386 go build . && GOOS=nacl GOARCH=386 go build .\n", ""},
		{"not known", "linux/amd64", golang + "RUN GOARCH=$(cat arch) go build . && GOOS=$(cat os) GOARCH=amd46 go build .\n", ""},
		{"nothing is compiled", "linux/amd64", golang + "RUN GOARCH=amd46 go env\n", ""},
		{"skipped", "linux/amd64", golang + "# check=skip=GoUnknownPlatform\nRUN GOARCH=amd46 go build .\n", ""},
		{"once", "linux/amd64,linux/arm64", golang + "RUN GOARCH=amd46 go build .\n", "line 3: go build . is to compile for linux/amd46" + knows},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{"go.mod": {Data: []byte("module example.com/m\n\ngo 1.26\n")}, "Dockerfile": {Data: []byte("# syntax=larder:1\n" + tt.file)}}
			req := requestOf(t, "platforms: "+tt.platforms, tree)
			p, err := New(req)
			require.NoError(t, err)
			var said []string
			for _, w := range p.Warnings {
				if w.Rule == rulePort.Name {
					said = append(said, "line "+strconv.Itoa(w.Location[0].Start.Line)+": "+w.Message)
				}
			}
			got := strings.Join(said, "\n")
			if tt.want == "" {
				require.Empty(t, got)
				return
			}
			require.Len(t, said, 1)
			require.Contains(t, got, tt.want)
		})
	}
}
