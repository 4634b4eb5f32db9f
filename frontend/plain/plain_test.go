package plain

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/stretchr/testify/require"
)

// written returns what is written of a file, on one line where it goes over several, without the stage of FROM static.
func written(t *testing.T, file string, platforms ...string) (string, error) {
	if platforms == nil {
		platforms = []string{"linux/amd64"}
	}
	f := dockerfile.Parse("Dockerfile", []byte(file))
	tree := fstest.MapFS{
		"go.mod": {Data: []byte("module example.com/m\n\ngo 1.26\n")}, "main.go": {Data: []byte("package main\n\nfunc main() {}\n")},
		"sub/go.mod": {Data: []byte("module example.com/sub\n\ngo 1.26\n")}, "sub/main.go": {Data: []byte("package main\n\nfunc main() {}\n")},
	}
	p, err := planner.New(planner.Request{File: f, Tree: tree, Platforms: platforms, BuildPlatform: "linux/amd64", BuildArgs: map[string]string{}})
	require.NoError(t, err)
	data, err := Write(Request{File: f, Plan: p})
	if err != nil {
		return "", err
	}
	text := string(data)
	if at := strings.Index(text, "# What FROM static holds"); at >= 0 {
		end := strings.Index(text, "zoneinfo.zip\"\n\n") + len("zoneinfo.zip\"\n\n")
		text = text[:at] + text[end:]
	}
	return strings.NewReplacer(" \\\n    ", " ", " `\n    ", " ", strings.Join(goArgs, "\n"), "ARGS", cacheMounts, "CACHES").Replace(text), nil
}

const (
	inGo  = "export GOENV=off GOTOOLCHAIN=local GOMODCACHE=/go/pkg/mod GOCACHE=/root/.cache/go-build GOWORK=off CGO_ENABLED=\"${CGO_ENABLED:-0}\" GOFLAGS=\"-buildvcs=false -mod=readonly $GOFLAGS\""
	toGo  = " && export GOOS=\"${GOOS:-$TARGETOS}\" GOARCH=\"${GOARCH:-$TARGETARCH}\" && "
	onGo  = " && if [ \"$GOOS/$GOARCH\" = \"$TARGETOS/$TARGETARCH\" ]; then unset GOOS GOARCH; fi && "
	envGo = "ENV GOOS=$TARGETOS GOARCH=$TARGETARCH CGO_ENABLED=0 GOFLAGS=-mod=readonly GOENV=off GOTOOLCHAIN=local"
)

func TestWrite(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"nothing of Larder's": {"FROM alpine\nRUN x\n", "FROM alpine\nRUN x\n"},
		"the syntax line":     {"# syntax=x.example/larder:1\n# check=skip=all\nFROM alpine\n", "# check=skip=all\nFROM alpine\n"},
		"GO in FROM go": {"FROM go:1.26.8 AS b\nGO build -o /x .\nFROM scratch\nCOPY --from=b /x /x\n",
			"FROM --platform=$BUILDPLATFORM golang:1.26.8 AS b\nARGS\n" + envGo + "\nCOPY . /src/\nRUN CACHES cd /src && " + inGo + toGo + "go build -o /x .\nFROM scratch\nCOPY --from=b /x /x\n"},
		"GO in an image": {"FROM x.example/go AS b\nGO --stdout=/t/log test -coverprofile=/c/c.out \"./...\"\nGO --module=sub build -o /x .\nFROM scratch\nCOPY --from=b /x /x\n",
			"FROM x.example/go AS b\nARGS\nCOPY . /src/\nRUN CACHES cd /src && " + inGo + onGo + "mkdir -p /t /c && go test -coverprofile=/c/c.out \"./...\" >/t/log && cat /t/log\nRUN CACHES cd /src/sub && " + inGo + toGo + "go build -o /x .\nFROM scratch\nCOPY --from=b /x /x\n"},
		"variables and quotes": {"FROM x.example/go AS b\nARG V\nGO --network=host build -ldflags='-X main.v='\"${V:-a b}\" \\\n  -o /x ${V} .\nFROM scratch\nCOPY --from=b /x /x\n",
			"FROM x.example/go AS b\nARG V\nARGS\nCOPY . /src/\nRUN CACHES --network=host cd /src && " + inGo + toGo + "go build -ldflags='-X main.v='\"${V:-a b}\"   -o /x ${V} .\nFROM scratch\nCOPY --from=b /x /x\n"},
		"mounts": {"FROM x.example/go AS b\nRUN --mount=type=gomod --mount=type=gocache,target=/c \\\n  --mount=type=tmpfs,target=/t go build\nFROM scratch\nCOPY --from=b /x /x\n",
			"FROM x.example/go AS b\nRUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/c \\\n  --mount=type=tmpfs,target=/t go build\nFROM scratch\nCOPY --from=b /x /x\n"},
		"FROM static": {"FROM go:1.26.8 AS b\nGO build -o /x .\nFROM static AS s\nCOPY --from=b /x /x\n",
			"FROM --platform=$BUILDPLATFORM golang:1.26.8 AS b\nARGS\n" + envGo + "\nCOPY . /src/\nRUN CACHES cd /src && " + inGo + toGo + "go build -o /x .\nFROM scratch AS s\n" + strings.Join(staticLines, "\n") + "\nCOPY --from=b /x /x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := written(t, tt.file)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

// What can't be written is an error that names the line.
func TestWriteRefuses(t *testing.T) {
	const head, tail = "FROM x.example/go AS b\n", "FROM scratch\nCOPY --from=b /x /x\n"
	for name, tt := range map[string]struct {
		file, want string
		platform   string
	}{
		"cgo":                {head + "GO --cgo build .\n" + tail, "Dockerfile:2: no plain Dockerfile can be written: GO --cgo", ""},
		"libraries":          {head + "GO --libs=/l build -o /x .\n" + tail, "Dockerfile:2: no plain Dockerfile can be written: GO --libs", ""},
		"reports":            {head + "\nGO --junit=/x test .\n" + tail, "Dockerfile:3: no plain Dockerfile can be written: GO --junit", ""},
		"another user":       {head + "USER app\nGO build .\n" + tail, "Dockerfile:3: no plain Dockerfile can be written: GO as the user app", ""},
		"a glob":             {head + "GO test -run Test* .\n" + tail, "Dockerfile:2: no plain Dockerfile can be written: GO test: to a shell Test* means something else", ""},
		"a home":             {head + "GO build -o ~/x .\n" + tail, "to a shell ~/x means something else", ""},
		"a command":          {head + "GO build -ldflags=-X=a.b=$(id) .\n" + tail, "Dockerfile:2: ", ""},
		"a redirection":      {head + "GO build -o /x>y .\n" + tail, "Dockerfile:2: ", ""},
		"two commands":       {head + "GO build -o /x;y .\n" + tail, "Dockerfile:2: ", ""},
		"a comment":          {head + "GO build #x .\n" + tail, "Dockerfile:2: ", ""},
		"another escape":     {"# escape=`\n" + head + "GO build -ldflags=a`$b .\n" + tail, "Dockerfile:3: ", ""},
		"sources over files": {head + "WORKDIR /src/x\nGO build .\n" + tail, "GO mounts its sources over /src/x, which line 2 makes", ""},
		"no network":         {head + "RUN --network=none --mount=type=gomod go build\n" + tail, "Dockerfile:2: no plain Dockerfile can be written: RUN --network=none", ""},
		"the image of go":    {"FROM go:1.26.8\nGO build -o /x .\n", "Dockerfile:1: no plain Dockerfile can be written: the image would have the files of the stage that compiles", ""},
		"all of a stage":     {head + "GO build -o /x .\nFROM scratch\nCOPY --from=b / /\n", "Dockerfile:4: no plain Dockerfile can be written: / of the stage b", ""},
		"numbers of stages":  {head + "GO build -o /x .\nFROM static\nCOPY --from=0 /x /\n", "Dockerfile:4: no plain Dockerfile can be written: --from=0", ""},
		"a variant":          {head + "GO build -o /x .\n" + tail, "no plain Dockerfile can be written for the platform linux/arm/v6", "linux/arm/v6"},
	} {
		t.Run(name, func(t *testing.T) {
			platforms := []string{"linux/amd64"}
			if tt.platform != "" {
				platforms = []string{tt.platform}
			}
			_, err := written(t, tt.file, platforms...)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestStaticNeedsANewGo(t *testing.T) {
	w := &writer{Request: Request{Plan: &planner.Plan{Toolchains: []planner.Toolchain{{Version: "go1.25.14"}}}}}
	_, err := w.staticRelease()
	require.ErrorContains(t, err, "is made by go1.26.0 or a newer one, and the plan has go1.25.14")
}

// The certificate authorities are those of this version of Larder.
func TestRootsAreThoseOfGoMod(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	require.Contains(t, string(mod), "\t"+rootsModule+" "+rootsAt+"\n")
	sum, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	require.Contains(t, string(sum), rootsModule+" "+rootsAt+" "+rootsSum+"\n"+rootsModule+" "+rootsAt+"/go.mod "+rootsModSum+"\n")
}
