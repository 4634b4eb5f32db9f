package frontend

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// What LARDER_OFFLINE=1 makes of a build: for each archive in testdata/offline, written as those of TestSuperset, the
// file answer has what the build comes to and every image and source that the builder was asked about.
func TestOfflineAnswers(t *testing.T) {
	constantIDs(t)
	names, err := filepath.Glob("testdata/offline/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		c := loadCase(t, name)
		t.Run(c.name, func(t *testing.T) {
			want := c.files["answer"]
			delete(c.files, "answer")
			if _, ok := c.args[offlineArg]; !ok {
				c.args[offlineArg] = "1"
			}
			b := c.builder(variation{args: true})
			got := offlineAnswer(t, b)
			if *update {
				writeAnswer(t, name, got)
				return
			}
			require.NotNil(t, want, "there is no answer in %s: go test -update writes it", name)
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("differs from %s (-): rewrite it with go test -update if that is right\n%s", name, diff)
			}
		})
	}
}

func offlineAnswer(t *testing.T, b *fakeBuilder) string {
	res, err := Build(t.Context(), b)
	var out strings.Builder
	if err != nil {
		fmt.Fprintln(&out, err)
		for _, src := range errdefs.Sources(err) {
			fmt.Fprintf(&out, "\nat ")
			require.NoError(t, src.Print(&out))
		}
	} else {
		fmt.Fprintf(&out, "built, with %d attestations\n", len(slices.Concat(slices.Collect(maps.Values(res.Attestations))...)))
	}
	for _, question := range slices.Concat(slices.Sorted(maps.Keys(b.asked.images)), slices.Sorted(maps.Keys(b.asked.metadata))) {
		name, _, _ := strings.Cut(question, " ")
		fmt.Fprintln(&out, "asked:", name)
	}
	return out.String()
}

func writeAnswer(t *testing.T, name, answer string) {
	a, err := txtar.ParseFile(name)
	require.NoError(t, err)
	a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == "answer" })
	a.Files = append(a.Files, txtar.File{Name: "answer", Data: []byte(answer)})
	require.NoError(t, os.WriteFile(name, txtar.Format(a), 0o644))
}

// A result that no definition was looked into for isn't given away, whoever made it.
func TestOfflineWantsEveryResultChecked(t *testing.T) {
	b := newFakeBuilder(nil)
	b.opts.Opts["build-arg:LARDER_OFFLINE"] = "true"
	g, err := newGuard(b, false)
	require.NoError(t, err)
	st := llb.Scratch().File(llb.Mkfile("/x", 0o644, nil))
	def, err := st.Marshal(t.Context())
	require.NoError(t, err)
	request := gateway.SolveRequest{Definition: def.ToPB()}

	checked, err := g.Solve(t.Context(), request)
	require.NoError(t, err)
	_, err = g.finish(t.Context(), checked, nil)
	require.NoError(t, err)

	unchecked, err := b.Solve(t.Context(), request)
	require.NoError(t, err)
	_, err = g.finish(t.Context(), unchecked, nil)
	require.ErrorContains(t, err, "was not looked into")
}

// Without LARDER_OFFLINE the options are the user's own, and the builder is asked directly.
func TestOfflineIsOffByDefault(t *testing.T) {
	for _, value := range []string{"", "0", "false"} {
		b := newFakeBuilder(nil)
		b.opts.Opts["build-arg:LARDER_OFFLINE"] = value
		g, err := newGuard(b, false)
		require.NoError(t, err)
		require.Nil(t, g)
		require.NotContains(t, b.opts.Opts, "force-network-mode")
	}
}
