package planner

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/stretchr/testify/require"
)

// maxFuzzed bounds what is fuzzed: what size alone does is in testdata/malformed.
const maxFuzzed = 8 << 10

// FuzzPlan holds any file to two laws: New neither panics nor hangs; and what isn't Go's comes out as it went in.
func FuzzPlan(f *testing.F) {
	for _, dockerfile := range fuzzSeeds {
		f.Add(dockerfile, fuzzGoMod, fuzzGoSum)
		f.Add(strings.ReplaceAll(dockerfile, "\n", "\r\n"), "module example.com/m\n\ngo 1.26\n", "")
		f.Add("\ufeff"+dockerfile, "", "")
	}
	f.Fuzz(func(t *testing.T, dockerfile, gomod, gosum string) {
		if len(dockerfile)+len(gomod)+len(gosum) > maxFuzzed {
			return
		}
		defer time.AfterFunc(hangs, func() { panic("it hangs") }).Stop()
		req := fuzzRequest(dockerfile, gomod, gosum)
		p, err := New(req)
		if req.File.HeaderOnly() {
			return // the file is not what counts then
		}
		if nothingOfGo(dockerfile) {
			require.NoError(t, err)
			require.False(t, p.Go)
		}
		if err != nil {
			return
		}
		require.NoError(t, p.WriteText(io.Discard))
		if !p.Go {
			require.Equal(t, dockerfile, p.Dockerfile)
			return
		}
		checkLines(t, req.File, p)
		checkNodes(t, req.File, p)
	})
}

func fuzzRequest(text, gomod, gosum string) Request {
	tree := fstest.MapFS{
		"go.mod":       {Data: []byte(gomod)},
		"go.sum":       {Data: []byte(gosum)},
		"main.go":      {Data: []byte("package main\n")},
		"tools/go.mod": {Data: []byte("module example.com/tools\n\ngo 1.26\n")},
	}
	return Request{File: dockerfile.Parse("Dockerfile", []byte(text)), Tree: tree, Platforms: []string{"linux/arm64"}, BuildPlatform: "linux/amd64"}
}

// nothingOfGo reports whether a file surely has nothing that is Larder's, without reading it as Larder does: no line
// has one of its words, and none can be put together out of variables, quotes or continuations.
func nothingOfGo(dockerfile string) bool {
	lower := strings.ToLower(dockerfile)
	if strings.Contains(lower, "larder") {
		return false
	}
	if !strings.ContainsAny(lower, "gc") {
		return true
	}
	return !strings.Contains(lower, "go") && !strings.Contains(lower, "static") && !strings.ContainsAny(lower, "$\\`'\"")
}

// checkLines checks that a rewritten file has the lines of the user's, ended as those are, and changed only where an
// instruction is rewritten.
func checkLines(t *testing.T, f dockerfile.File, p *Plan) {
	changed := map[int]bool{}
	mark := func(from, to int) {
		for line := from; line <= to; line++ {
			changed[line] = true
		}
	}
	for _, r := range p.Rewrites {
		mark(r.Line, r.EndLine)
	}
	for _, g := range f.GoLines {
		mark(g.Node.StartLine, g.Node.EndLine)
	}
	before, after := bytes.Split(f.Data, []byte("\n")), strings.Split(p.Dockerfile, "\n")
	require.Len(t, after, len(before))
	for i := range before {
		was := string(before[i])
		if !changed[i+1] {
			require.Equal(t, was, after[i], "line %d", i+1)
		}
		require.Equal(t, len(was)-len(strings.TrimRight(was, "\r")), len(after[i])-len(strings.TrimRight(after[i], "\r")), "the end of line %d", i+1)
	}
}

// checkNodes checks that BuildKit's parser finds in a rewritten file what it finds in the user's, at the same places.
func checkNodes(t *testing.T, f dockerfile.File, p *Plan) {
	before, err := parser.Parse(bytes.NewReader(f.Data))
	require.NoError(t, err)
	after, err := parser.Parse(strings.NewReader(p.Dockerfile))
	require.NoError(t, err)
	require.Equal(t, before.EscapeToken, after.EscapeToken)
	rewrites := map[int]Rewrite{}
	for _, r := range p.Rewrites {
		rewrites[r.Line] = r
	}
	rest := after.AST.Children
	for _, was := range before.AST.Children {
		r, rewritten := rewrites[was.StartLine]
		if strings.Contains(r.What, "left out") {
			continue
		}
		require.NotEmpty(t, rest, "line %d is gone", was.StartLine)
		is := rest[0]
		rest = rest[1:]
		require.Equal(t, was.Location(), is.Location())
		require.Equal(t, was.PrevComment, is.PrevComment)
		switch g := f.GoLines[was.StartLine]; {
		case g != nil:
			checkGoNode(t, g, is, f.Broken)
		case !rewritten:
			require.Equal(t, was, is)
		case strings.EqualFold(was.Value, "FROM"):
			checkFromNode(t, is)
		default:
			checkRunNode(t, was, is, r)
		}
	}
	require.Empty(t, rest)
	_, _, err = instructions.Parse(after.AST, nil)
	require.Equal(t, f.Broken, err != nil, "%v", err)
}

// checkGoNode checks that a GO line has become a RUN that no shell reads, with the user's words as the last of its own.
func checkGoNode(t *testing.T, g *dockerfile.GoLine, is *parser.Node, placeholder bool) {
	require.Equal(t, "run", strings.ToLower(is.Value))
	require.True(t, is.Attributes["json"], "%s", is.Original)
	var words []string
	for n := is.Next; n != nil; n = n.Next {
		words = append(words, n.Value)
	}
	if !placeholder {
		require.Equal(t, []string{"--", g.Rest}, words[len(words)-2:])
	}
}

func checkFromNode(t *testing.T, is *parser.Node) {
	require.True(t, strings.HasPrefix(is.Next.Value, ContextPrefix), "%s", is.Original)
}

// checkRunNode checks that a RUN runs what it ran, and has the flags it had but for those that are Larder's own.
func checkRunNode(t *testing.T, was, is *parser.Node, r Rewrite) {
	require.Equal(t, was.Value, is.Value)
	for _, flag := range was.Flags {
		if m, err := dockerfile.ParseMount(strings.TrimPrefix(flag, "--mount=")); err != nil || m.Kind != dockerfile.KindModules && m.Kind != dockerfile.KindCompileCache {
			require.Contains(t, is.Flags, flag)
		}
	}
	for _, flag := range is.Flags {
		name, _, _ := strings.Cut(flag, "=")
		require.True(t, slices.Contains(was.Flags, flag) || name == "--mount" || name == "--network", "%q", flag)
	}
	if !strings.Contains(r.What, "go mod download") {
		command := func(n *parser.Node) string {
			text, err := json.Marshal([]any{n.Next, n.Heredocs, n.Attributes})
			require.NoError(t, err)
			if strings.Contains(r.What, "removal") {
				return strings.NewReplacer("{ ", "", " || true; }", "").Replace(string(text))
			}
			return string(text)
		}
		require.Equal(t, command(was), command(is))
	}
}

// What FuzzPlan starts from.
const (
	fuzzGoMod = "module example.com/m\n\ngo 1.26\n\nrequire example.com/dep v1.0.0\n"
	fuzzGoSum = "example.com/dep v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nexample.com/dep v1.0.0/go.mod h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
)

var fuzzSeeds = []string{
	"# syntax=x\n",
	"FROM alpine\nRUN apk add x\nCOPY . .\n",
	"FROM go:1.26 AS b\nRUN [\"go\",\"version\"]\nFROM static\nCOPY --from=b /x /x\n",
	"ARG V=1.26\nFROM --platform=$BUILDPLATFORM \\\n go:${V}\n",
	"FROM ${X:-go}\nFROM stat\\\nic\n",
	"FROM go AS go\nFROM go\nGO version\n",
	"FROM \\\n  # a comment\n  go AS b\nGO build \\\n    # another\n    -o /x \\\n\n    ./...\ngo vet ./...",
	"FROM go\nGO --module=tools --cgo=false --network=default --stdout=/out test -run '^T$' \"./...\"\n",
	"FROM go\nGO --junit=/out/j.xml test -fuzz=X ./a\nRUN [\"x\"]\nFROM 0\nCOPY <<E /\nE\nGO test\nGO build\n",
	"FROM go AS gen\nWORKDIR /w\nCOPY . .\nFROM go\nGO --from=gen --mount=type=tmpfs,target=/x build -ldflags=\"-X a=${B:-c d}\"\n",
	"# escape=`\nFROM go\nGO build `\n  -o C:\\x `\n  ./...\nRUN go vet `\n ./...\n",
	"FROM golang:1.26\nWORKDIR /w\nCOPY go.mod go.sum ./\nRUN go mod download\nCOPY . .\nRUN --mount=type=cache,target=/x CGO_ENABLED=0 go build -o /x .\n",
	"FROM golang\nRUN set -eux; \\\n    # a comment\n    go mod download && \\\n    go build ./...\nUSER app\nRUN [\"go\", \"vet\", \"./...\"]\n",
	"FROM golang\nCOPY . .\nRUN <<EOT\ngo test ./...\ncd tools && go build .\nEOT\nRUN <<-\"A\" cat <<B\n\tgo vet\n\tA\nb\nB\n",
	"FROM golang\nRUN --mount=type=gomod --mount=\"type=gocache,target=/c\" ./build.sh\nRUN --mount=type=gomod,module=tools,target=/m go list ./...\n",
	"FROM golang\nRUN --mount=\"type=gocache,target=/c\\d ./\"\nRUN --mount='type=gomod,target=/a b' go vet\n",
	"FROM golang\nENV GOPATH=/a GOCACHE=/b\nARG GOMODCACHE\nSHELL [\"/bin/bash\", \"-c\"]\nRUN cd tools; GOFLAGS=-x go build ./... | tee log\n",
	"FROM golang\nRUN sh -c 'go vet ./...'\nRUN go get x && go build\nRUN --network=none go test\nRUN --network=default go test\n",
	"FROM golang\nONBUILD RUN go build\nONBUILD COPY . .\nHEALTHCHECK CMD go version\nCMD go run .\n",
	"FROM go\nONBUILD GO build ./...\n",
	"# larder:inject=off\nFROM golang\nRUN go build\nRUN --mount=type=gomod go build\n",
	"FROM golang AS a\nRUN go mod download\nRUN make\nFROM a\nRUN go mod download\nCOPY --from=a /go/pkg/mod /m\n",
	"FROM go\nGO build\nFOO bar\n",
	"FROM golang AS a\nCOPY . .\nRUN go mod download\nRUN go build -o /x . && rm -rf /go/pkg /root/.cache; go clean -modcache\nFROM scratch\nCOPY --from=a /x /\n",
	"FROM golang AS a\nCOPY . .\nRUN <<E\ngo build -o /x .\nrm -rf \"$GOPATH/pkg/mod\"\nE\n# larder:inject=off\nRUN go vet\nFROM scratch\nCOPY --from=a /x /\n",
	"# larder:network=none\nFROM golang AS a\nADD https://x/y.git /w\nCOPY --from=b /w/x.txt /w\nCOPY --exclude=go.* . .\nRUN cd /w && git clone x y && go build\nONBUILD RUN go vet\nFROM a AS c\nRUN --mount=from=a,target=/m xx-go build\nFROM scratch\nCOPY --from=c / /\n",
	"FROM go\nGO build \\\n  ./...\nCOPY x\n",
	"FROM scratch\n\\\nRUN x\nFROM golang\nRUN \\\n\\\n go build \\",
	"FROM golang\nLABEL a=go\nENV A=\"go build\"\nADD https://x/go.tgz /\nVOLUME /go\nEXPOSE 80\n",
}
