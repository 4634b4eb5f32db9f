package planpage

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/frontend/changes"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/stretchr/testify/require"
)

// What a page says of a folder is what 'larder plan --since' says of an edit of each file in it.
func TestEdits(t *testing.T) {
	for _, name := range []string{"services", "existing", "program"} {
		p := pageOf(t, "testdata/"+name+".txtar")
		g := newGraph(p)
		side := changes.Side{File: p.File, Plan: p.Plan, Target: p.Target}
		e := newEdits(p, g)
		read := 0
		for _, file := range p.Files {
			again := changes.Of(side, side, []string{file})
			if len(again) > 0 {
				read++
			}
			rows := slices.DeleteFunc(slices.Clone(e.Rows), func(r edit) bool {
				rest, in := strings.CutPrefix(file, r.Folder)
				return !in || !r.Below && strings.Contains(rest, "/")
			})
			require.NotEmpty(t, rows, "%s: no row tells of %s", name, file)
			row := rows[len(rows)-1] // the deepest
			for _, c := range again {
				require.True(t, slices.ContainsFunc(row.First, func(s *step) bool { return s.Line == c.Line }), "%s: the row of %s lacks line %d", name, file, c.Line)
			}
			if len(again) == 0 {
				require.NotEqual(t, row.Files, row.Read, "%s: %s isn't read", name, file)
			}
		}
		require.Equal(t, read, e.Read)
		for _, r := range e.Rows {
			require.Equal(t, r.Read > 0, len(r.Again) > 0)
			require.True(t, len(r.Again) == 0 || r.Again[len(r.Again)-1] == g.Image, "%s: the image is made again", name)
		}
	}
}

// A step that compiles beforehand what another links reads the same files.
func TestCompiledBefore(t *testing.T) {
	p := pageOf(t, "testdata/services.txtar")
	i := slices.IndexFunc(p.Plan.Deps, func(d *planner.Deps) bool { return d.For == "line 8" })
	c := &planner.Compile{Context: planner.ContextPrefix + "compiled-8", For: "line 8", Deps: p.Plan.Deps[i]}
	p.Plan.Compiled = append(p.Plan.Compiled, c)
	p.Plan.Steps = append(p.Plan.Steps, planner.Step{Name: "compile what is linked, for line 8", Context: c.Context})
	p.Plan.Dockerfile = strings.Replace(p.Plan.Dockerfile, ",from=larder.internal/source-8,", ",from="+c.Context+",target=/x --mount=type=bind,from=larder.internal/source-8,", 1)
	g := newGraph(p)
	row := newEdits(p, g).Rows
	at := slices.IndexFunc(row, func(r edit) bool { return r.Folder == "page/" })
	require.Len(t, row[at].First, 2)
	require.Equal(t, "compile what is linked, for line 8", row[at].First[0].Name)
	require.Equal(t, 8, row[at].First[1].Line)
}

// However many folders there are, there are few rows, and each file is told of.
func TestManyFolders(t *testing.T) {
	p := pageOf(t, "testdata/existing.txtar")
	p.File = dockerfile.Parse("Dockerfile", []byte("FROM scratch\nCOPY */*/a* .\n"))
	p.Plan = &planner.Plan{Level: 2, Dockerfile: string(p.File.Data)}
	p.Files = nil
	for i := range 26 {
		for j := range 26 {
			dir := fmt.Sprintf("%c/%c/", 'a'+i, 'a'+j)
			p.Files = append(p.Files, dir+"a", dir+"b")
		}
	}
	rows := newEdits(p, newGraph(p)).Rows
	require.Len(t, rows, 26)
	for _, r := range rows {
		require.Equal(t, []int{52, 26}, []int{r.Files, r.Read}, r.Folder)
		require.Equal(t, []int{maxNamed, 26 - maxNamed}, []int{len(r.Names), r.More})
	}
}

// Ages and sizes are in units that people read.
func TestUnits(t *testing.T) {
	p := pageOf(t, "testdata/existing.txtar")
	for text, days := range map[string]int{"in the future": -1, "0 days": 0, "1 day": 1, "59 days": 59, "2 months": 60, "12 months": 365, "24 months": 729, "2 years": 731, "20 years": 7306} {
		require.Equal(t, text, age(p.Now.AddDate(0, 0, -days), p.Now))
	}
	require.Equal(t, "999 B", size(999))
	require.Equal(t, "1 kB", size(1000))
	require.Equal(t, "1.5 MB", size(1500000))
	require.Equal(t, "2.0 GB", size(2e9))
}
