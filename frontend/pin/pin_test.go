package pin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const (
	one = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	two = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// pinned writes a digest beside all names, and returns the file and what was left alone.
func pinned(t *testing.T, text string) (string, []string) {
	f := dockerfile.Parse("Dockerfile", []byte(text))
	names, left, err := Find(f)
	require.NoError(t, err)
	var edits []dockerfile.Edit
	for _, n := range names {
		start, _ := 0, 0
		for range n.Line - 1 {
			start += strings.Index(text[start:], "\n") + 1
		}
		require.Contains(t, strings.SplitN(text[start:], "\n", 2)[0], n.Text, "it is on the line that is told")
		if n.Release != "" {
			edits = append(edits, n.Edit("go:"+n.Release+".99"))
		} else {
			edits = append(edits, n.Edit(n.With(one)))
		}
	}
	var told []string
	for _, l := range left {
		told = append(told, fmt.Sprintf("%d: %s: %s", l.Line, l.Text, l.Why))
	}
	return string(f.Apply(edits)), told
}

// Of each file the one line that changes is told apart; all others are byte for byte what they were.
func TestFind(t *testing.T) {
	for name, tt := range map[string]struct {
		file, want string // want has @ for the digest
		left       []string
	}{
		"a tag":                {"FROM alpine:3.22\n", "FROM alpine:3.22@\n", nil},
		"no tag":               {"FROM alpine\n", "FROM alpine:latest@\n", nil},
		"an older digest":      {"FROM alpine:3.22@" + two + "\n", "FROM alpine:3.22@\n", nil},
		"a digest alone":       {"FROM alpine@" + two + "\n", "FROM alpine@" + two + "\n", []string{"1: alpine@" + two + ": it has a digest and no tag, so nothing says what it was taken from"}},
		"a port and no tag":    {"FROM localhost:5000/x/y\n", "FROM localhost:5000/x/y:latest@\n", nil},
		"spaces and a stage":   {"from\t --platform=$BUILDPLATFORM   golang:1.26-alpine\tAs  Build\n", "from\t --platform=$BUILDPLATFORM   golang:1.26-alpine@\tAs  Build\n", nil},
		"continued":            {"FROM --platform=linux/amd64 \\\n# alpine:3\n  alpine:3 \\\n AS x\n", "FROM --platform=linux/amd64 \\\n# alpine:3\n  alpine:3@ \\\n AS x\n", nil},
		"another escape":       {"# escape=`\nFROM `\n  alpine:3\n", "# escape=`\nFROM `\n  alpine:3@\n", nil},
		"CRLF":                 {"# syntax=a.example/x:1\r\nFROM alpine:3\r\nRUN true\r\n", "# syntax=a.example/x:1@\r\nFROM alpine:3@\r\nRUN true\r\n", nil},
		"a BOM":                {"\xef\xbb\xbf# syntax=a.example/x:1\nFROM alpine:3\n", "\xef\xbb\xbf# syntax=a.example/x:1@\nFROM alpine:3@\n", nil},
		"no newline":           {"FROM alpine:3", "FROM alpine:3@", nil},
		"just a syntax":        {"# syntax=ghcr.io/larder-build/larder:1\n", "# syntax=ghcr.io/larder-build/larder:1@\n", nil},
		"a syntax's words":     {"#  Syntax = docker/dockerfile:1 a b\nFROM scratch\n", "#  Syntax = docker/dockerfile:1@ a b\nFROM scratch\n", nil},
		"behind a shebang":     {"#!/usr/bin/env x\n# syntax=a/b\nFROM scratch\n", "#!/usr/bin/env x\n# syntax=a/b:latest@\nFROM scratch\n", nil},
		"no syntax":            {"FROM scratch\n# syntax=a/b:1\n", "FROM scratch\n# syntax=a/b:1\n", nil},
		"a variable":           {"ARG V=3\nFROM alpine:$V\nFROM ${V}\n", "ARG V=3\nFROM alpine:$V\nFROM ${V}\n", []string{"2: alpine:$V: there are variables or quotes in it", "3: ${V}: there are variables or quotes in it"}},
		"an ARG's value":       {"ARG BASE=alpine:3\nFROM $BASE\n", "ARG BASE=alpine:3\nFROM $BASE\n", []string{"2: $BASE: there are variables or quotes in it"}},
		"quotes":               {"FROM \"alpine:3\"\n", "FROM \"alpine:3\"\n", []string{"1: \"alpine:3\": there are variables or quotes in it"}},
		"stages":               {"FROM alpine:3 AS Base\nFROM base AS b\nFROM Base\nCOPY --from=0 x x\nCOPY --from=BASE x x\n", "FROM alpine:3@ AS Base\nFROM base AS b\nFROM Base\nCOPY --from=0 x x\nCOPY --from=BASE x x\n", nil},
		"a stage of later":     {"FROM base\nFROM alpine:3 AS base\n", "FROM base:latest@\nFROM alpine:3@ AS base\n", nil},
		"virtual bases":        {"FROM go AS b\nFROM go:1.26.8\nFROM static\nFROM scratch\nCOPY --from=go:1.26 x x\n", "FROM go AS b\nFROM go:1.26.8\nFROM static\nFROM scratch\nCOPY --from=go:1.26 x x\n", nil},
		"a release":            {"FROM go:1.26 AS b\nGO build .\n", "FROM go:1.26.99 AS b\nGO build .\n", nil},
		"like a virtual base":  {"FROM docker.io/library/static\nFROM golang:1.26\n", "FROM docker.io/library/static:latest@\nFROM golang:1.26@\n", nil},
		"COPY --from":          {"FROM scratch\nCOPY --chown=1 --from=alpine:3 --link alpine:3 alpine:3\n", "FROM scratch\nCOPY --chown=1 --from=alpine:3@ --link alpine:3 alpine:3\n", nil},
		"COPY of such a name":  {"FROM scratch\nCOPY x --from=alpine:3\nADD x alpine:3\n", "FROM scratch\nCOPY x --from=alpine:3\nADD x alpine:3\n", nil},
		"mounts":               {"FROM scratch\nRUN --mount=type=bind,from=alpine:3,target=/x --mount=from=busybox \\\n --mount=type=cache,target=/from=alpine:3 x from=alpine:3\n", "FROM scratch\nRUN --mount=type=bind,from=alpine:3@,target=/x --mount=from=busybox:latest@ \\\n --mount=type=cache,target=/from=alpine:3 x from=alpine:3\n", nil},
		"Larder's mounts":      {"FROM alpine:3\nRUN --mount=type=gomod --mount=type=gocache go build\n", "FROM alpine:3@\nRUN --mount=type=gomod --mount=type=gocache go build\n", nil},
		"a mount in quotes":    {"FROM scratch\nRUN --mount=type=bind,\"from=alpine:3\",target=/x x\n", "FROM scratch\nRUN --mount=type=bind,\"from=alpine:3\",target=/x x\n", []string{"2: alpine:3: it isn't written as Larder reads it"}},
		"heredocs":             {"FROM alpine:3\nRUN <<EOF\nFROM alpine:3\nCOPY --from=alpine:3 x x\nEOF\nCOPY --from=alpine:3 <<X /x\nX\n", "FROM alpine:3@\nRUN <<EOF\nFROM alpine:3\nCOPY --from=alpine:3 x x\nEOF\nCOPY --from=alpine:3@ <<X /x\nX\n", nil},
		"comments":             {"# FROM alpine:3\nFROM scratch\n#COPY --from=alpine:3 x x\n", "# FROM alpine:3\nFROM scratch\n#COPY --from=alpine:3 x x\n", nil},
		"a trigger":            {"FROM scratch\nONBUILD COPY --from=alpine:3 x x\nONBUILD RUN x\n", "FROM scratch\nONBUILD COPY --from=alpine:3 x x\nONBUILD RUN x\n", []string{"2: ONBUILD COPY --from=alpine:3 x x: a trigger's images are those of another build"}},
		"over several lines":   {"FROM scratch\nCOPY --from=al\\\npine:3 x x\n", "FROM scratch\nCOPY --from=al\\\npine:3 x x\n", []string{"2: alpine:3: it goes over several lines"}},
		"names like flags":     {"FROM --platform=linux/amd64 alpine:3 AS alpine\nFROM alpine\n", "FROM --platform=linux/amd64 alpine:3@ AS alpine\nFROM alpine\n", nil},
		"a name in its domain": {"FROM a.example/alpine:3 AS x\nCOPY --from=a.example/from=alpine x x\n", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want == "" {
				_, _, err := Find(dockerfile.Parse("Dockerfile", []byte(tt.file)))
				require.ErrorContains(t, err, "Dockerfile:2: ")
				return
			}
			got, left := pinned(t, tt.file)
			want := tt.want
			if !strings.Contains(want, two) {
				for _, end := range []string{"\n", "\r", " ", "\t", ","} {
					want = strings.ReplaceAll(want, "@"+end, "@"+one+end)
				}
				if strings.HasSuffix(want, "@") {
					want += one
				}
			}
			require.Equal(t, want, got)
			require.Equal(t, tt.left, left)
			again, _ := pinned(t, strings.ReplaceAll(got, ".99", ".9"))
			require.Equal(t, strings.ReplaceAll(got, ".99", ".9"), again, "what is pinned stays as it is")
		})
	}
}

func TestFindRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"FROM Alpine:3\n":                                   `Dockerfile:1: "Alpine:3" is not the name of an image`,
		"FROM scratch\nCOPY --from=a..b//c x x\n":           `Dockerfile:2: "a..b//c" is not the name of an image`,
		"# syntax=a/B\nFROM scratch\n":                      `Dockerfile:1: the syntax line: "a/B" is not the name of an image`,
		"FROM\n":                                            "Dockerfile can't be read as a Dockerfile: 'larder build --check' tells what is wrong with it",
		"FROM alpine:3@sha256:12\n":                         "is not the name of an image",
		"FROM alpine:3@md5:11111111111111111111111111111\n": "is not the name of an image",
	} {
		_, _, err := Find(dockerfile.Parse("Dockerfile", []byte(text)))
		require.ErrorContains(t, err, want, text)
	}
}

func TestFullNames(t *testing.T) {
	f := dockerfile.Parse("Dockerfile", []byte("FROM alpine\nFROM team/x:v1@"+one+"\nFROM a.example:5000/x:2\n"))
	names, _, err := Find(f)
	require.NoError(t, err)
	require.Equal(t, []Name{
		{Text: "alpine", Line: 1, Image: "docker.io/library/alpine:latest", start: 5},
		{Text: "team/x:v1@" + one, Line: 2, Image: "docker.io/team/x:v1", Digest: digest.Digest(one), start: 17},
		{Text: "a.example:5000/x:2", Line: 3, Image: "a.example:5000/x:2", start: 104},
	}, names)
}

// Whatever the file: what is written is the file, with digests and tags put in.
func FuzzFind(f *testing.F) {
	f.Add("# syntax=a/b:1\nFROM --platform=$X alpine AS y\nCOPY --from=q:1 \\\n x y\nRUN --mount=type=bind,from=w <<E\nE\n")
	f.Add("# escape=`\r\nFROM `\r\n a`\r\nb:1\r\nFROM go:1.26\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := dockerfile.Parse("Dockerfile", []byte(text))
		names, _, err := Find(file)
		if err != nil {
			return
		}
		var edits []dockerfile.Edit
		at := 0
		slices.SortFunc(names, func(a, b Name) int { return a.start - b.start })
		for _, n := range names {
			require.GreaterOrEqual(t, n.start, at, "names don't overlap")
			at = n.start + len(n.Text)
			require.Equal(t, n.Text, text[n.start:at])
			if n.Release == "" {
				edits = append(edits, n.Edit(n.With(one)))
			}
		}
		out := dockerfile.Parse("Dockerfile", file.Apply(edits))
		require.Equal(t, strings.Count(text, "\n"), strings.Count(string(out.Data), "\n"))
		require.Len(t, out.Stages, len(file.Stages))
		again, _, err := Find(out)
		require.NoError(t, err)
		require.Len(t, again, len(names))
		for _, n := range again {
			require.True(t, n.Release != "" || n.Digest == one, "%s", n.Text)
		}
	})
}
