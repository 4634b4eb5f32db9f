package planner

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// When the rule warns of what a RUN builds with cgo.
func TestCgoOfRun(t *testing.T) {
	const build, copies = "FROM golang:1.26 AS build\nCOPY . .\nRUN go build -o /app .\n", "COPY --from=build /app /app\n"
	for _, tt := range []struct {
		name, file string
		warns      bool
	}{
		{"scratch", build + "FROM scratch\n" + copies, true},
		{"distroless", build + "FROM gcr.io/distroless/static-debian12:nonroot\n" + copies, true},
		{"distroless by digest", build + "FROM mirror.example/distroless/static@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" + copies, true},
		{"distroless with a C library", build + "FROM gcr.io/distroless/base-debian12\n" + copies, false},
		{"another image called static", build + "FROM example.com/distroless/static-extra\n" + copies, false},
		{"a folder of libraries", build + "FROM scratch\nCOPY --from=build /lib64 /lib64\n" + copies, false},
		{"libraries by name", build + "FROM scratch\nCOPY --from=build /lib/x86_64-linux-gnu/libc.so.6 /lib/x86_64-linux-gnu/\n" + copies, false},
		{"told so", strings.Replace(build, "RUN", "RUN CGO_ENABLED=1", 1) + "FROM scratch\n" + copies, true},
		{"told not to", strings.Replace(build, "RUN", "RUN CGO_ENABLED=0", 1) + "FROM scratch\n" + copies, false},
		{"names looked up by Go", strings.Replace(build, "build -o", "build -tags netgo,osusergo -o", 1) + "FROM scratch\n" + copies, false},
		{"told so, with names looked up by Go", strings.Replace(build, "RUN go build", "RUN CGO_ENABLED=1 go build -tags netgo", 1) + "FROM scratch\n" + copies, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := New(requestOf(t, "", fstest.MapFS{"go.mod": {Data: []byte("module example.com/m\n\ngo 1.26\n")}, "Dockerfile": {Data: []byte("# syntax=larder:1\n" + tt.file)}}))
			require.NoError(t, err)
			require.Equal(t, tt.warns, slices.ContainsFunc(p.Warnings, func(w Warning) bool { return w.Rule == ruleCgo.Name }), "%v", p.Warnings)
		})
	}
}

// Where in the image the plan looks for programs made by cgo, and what the lint rule says of the same file.
func TestCgoCopies(t *testing.T) {
	const cgo = "FROM golang:1.26 AS build\nGO --cgo build -o /out/ .\n"
	for _, tt := range []struct {
		name, target, file string
		want               string // paths
		warns              bool
	}{
		{"a program", "", cgo + "FROM static\nCOPY --from=build /out/app /usr/bin/app\n", "/usr/bin/app", true},
		{"a folder of another image", "", cgo + "FROM alpine:3.22\nWORKDIR /opt\nCOPY --from=build /out/ bin/\n", "/opt/bin", false},
		{"by number, and a variable", "", cgo + "FROM static\nARG DIR=/srv\nCOPY --from=0 /out/app ${DIR}/app\n", "/srv/app", true},
		{"an unknown folder", "", cgo + "FROM debian\nCOPY --from=build /out/app $DIR/app\n", "/", false},
		{"by way of a stage", "", cgo + "FROM scratch AS all\nCOPY --from=build /out/ /all/\nFROM debian\nCOPY --from=all /all/ /opt/\n", "/opt", false},
		{"in a stage that the last one starts from", "", cgo + "FROM debian AS base\nCOPY --from=build /out/ /opt/\nFROM base\n", "/opt", false},
		{"another target", "other", cgo + "FROM debian AS other\nCOPY --from=build /out/ /opt/\nFROM static\nCOPY --from=build /out/app /app\n", "/opt", true},
		{"a stage that copies none", "none", cgo + "FROM static AS none\nFROM static\nCOPY --from=build /out/app /app\n", "", true},
		{"with its libraries", "", strings.Replace(cgo, "--cgo", "--cgo --libs=/out", 1) + "FROM static\nCOPY --from=build /out/ /\n", "/", false},
		{"static, so it says", "", strings.Replace(cgo, "-o", "-ldflags=-extldflags=-static -o", 1) + "FROM static\nCOPY --from=build /out/app /app\n", "/app", false},
		{"by the stage's environment", "", "FROM golang:1.26 AS build\nENV CGO_ENABLED=1\nGO build -o /out/ .\nFROM static\nCOPY --from=build /out/app /app\n", "/app", true},
		{"without cgo", "", "FROM golang:1.26 AS build\nGO build -o /out/ .\nFROM static\nCOPY --from=build /out/app /app\n", "", false},
		{"only tests", "", "FROM golang:1.26 AS build\nGO --cgo test .\nGO build -o /out/ .\nFROM static\nCOPY --from=build /out/app /app\n", "", false},
		{"skipped for the file", "", "# check=skip=GoCgoInScratch\n" + cgo + "FROM static\nCOPY --from=build /out/app /app\n", "", false},
		{"skipped for the line", "", cgo + "FROM static\n# check=skip=GoCgoInScratch\nCOPY --from=build /out/app /app\nCOPY --from=build /out/b /b\n", "/b", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{"go.mod": {Data: []byte("module example.com/m\n\ngo 1.26\n")}, "main.go": {Data: []byte("package main\n\nfunc main() {}\n")},
				"Dockerfile": {Data: []byte("# syntax=larder:1\n" + tt.file)}}
			req := requestOf(t, "", tree)
			req.Target = tt.target
			p, err := New(req)
			require.NoError(t, err)
			var paths []string
			for _, c := range p.CgoCopies {
				paths = append(paths, c.Path)
				require.NotZero(t, c.Location[0].Start.Line)
			}
			require.Equal(t, tt.want, strings.Join(paths, " "))
			warns := false
			for _, w := range p.Warnings {
				warns = warns || w.Rule == ruleCgo.Name
			}
			require.Equal(t, tt.warns, warns)
			var text strings.Builder
			require.NoError(t, p.WriteText(&text))
			require.Equal(t, tt.want != "", strings.Contains(text.String(), "look in the image for the libraries"))
		})
	}
}
