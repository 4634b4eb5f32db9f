package frontend

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
	_ "unsafe" // for go:linkname

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/stretchr/testify/require"
)

// What there is to compare may grow, but not shrink unseen.
const (
	leastArchives = 300
	leastBuilds   = 9000
)

// A Dockerfile that uses nothing of Go's is built as docker/dockerfile builds it: for each of the archives in
// testdata/superset, every target, platform, set of build arguments and subrequest, what the builder is asked and what
// comes of it is the same by this frontend as by BuildKit's own.
//
// The comment of an archive has, after lines with #, settings of the form "NAME: VALUE":
//
//	target: NAME         one more target to build; stages are, by themselves
//	platforms: A,B       target platforms in place of defaultPlatforms; may be repeated
//	arg: NAME=VALUE      a build argument; each archive is built without and with all of them
//	opt: KEY=VALUE       an option of the frontend
//	context: NAME=VALUE  a named context
//	input: NAME=IMAGE    an input of the frontend
//	folder: SOURCE=DIR   a source, such as local://docs, and which folder of the archive is read from it
//	lacks: CAPABILITY    a capability that the builder doesn't have
//	dockerfile: HOW      crlf, bom or chomp: what to do to the Dockerfile that txtar can't hold
func TestSuperset(t *testing.T) {
	constantIDs(t)
	names, err := filepath.Glob("testdata/superset/*.txtar")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), leastArchives)
	builds := 0
	for _, name := range names {
		c := loadCase(t, name)
		all := c.variations()
		builds += len(all)
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, v := range all {
				c.compare(t, v)
			}
			if rule, ok := strings.CutPrefix(c.name, "lint-"); ok {
				c.breaks(t, rule)
			}
		})
	}
	require.GreaterOrEqual(t, builds, leastBuilds)
	t.Logf("%d archives, %d builds compared", len(names), builds)
}

// compare builds a variation with BuildKit's own frontend and with this one.
func (c *supersetCase) compare(t *testing.T, v variation) {
	diff := c.difference(t, v)
	for tries := 0; diff != "" && c.losesWarnings(v) && tries < 10; tries++ {
		diff = c.difference(t, v)
	}
	if diff != "" {
		t.Errorf("%v: %s", v, diff)
	}
}

// difference builds a variation both ways, and says how they differ.
func (c *supersetCase) difference(t *testing.T, v variation) string {
	want, err := transcribe(t.Context(), builder.Build, c.builder(v))
	require.NoError(t, err)
	got, err := transcribe(t.Context(), Build, c.builder(v))
	require.NoError(t, err)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(transcript{})); diff != "" {
		return "differs from docker/dockerfile's (-) here (+):\n" + diff
	}
	for read := range want.reads {
		if !got.reads[read] {
			return "docker/dockerfile reads this, and Larder doesn't:\n" + read
		}
	}
	return ""
}

// losesWarnings reports whether BuildKit may lose the warnings of a build, and the errors made of them, now and then:
// where the linter is set by a build argument, the platforms share its settings, and dockerfile2llb's newRuleLinter
// writes into them who is warned. Platforms but the first write nobody, which that one may take for its own.
func (c *supersetCase) losesWarnings(v variation) bool {
	return v.args && c.args["BUILDKIT_DOCKERFILE_CHECK"] != "" && strings.Contains(v.platforms, ",")
}

// breaks wants that BuildKit's linter says of the case what its name says.
func (c *supersetCase) breaks(t *testing.T, rule string) {
	lint, err := transcribe(t.Context(), builder.Build, c.builder(variation{request: "frontend.lint"}))
	require.NoError(t, err)
	require.Contains(t, strings.Join(lint.Result, "\n"), `"ruleName": "`+rule+`"`)
}

//go:linkname idReader github.com/moby/buildkit/identity.idReader
var idReader io.Reader

// constantIDs makes all of BuildKit's random IDs one and the same. They are part of the definitions of local sources
// and so of everything made from these, and would make any two builds differ.
func constantIDs(t *testing.T) {
	random := idReader
	idReader = zeros{}
	t.Cleanup(func() { idReader = random })
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
