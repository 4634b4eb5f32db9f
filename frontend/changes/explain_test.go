package changes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const userFile = "FROM base:1\nENV A=1\nRUN make\nCOPY x /\n"

// A userBuild is what BuildKit is asked for of userFile.
type userBuild struct {
	file, digest string
	env          [][2]string
	more         []llb.RunOption
}

func at(file string, line int, name string) llb.ConstraintsOpt {
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(file))
	return constraints{source.Location([]*pb.Range{{Start: &pb.Position{Line: int32(line)}, End: &pb.Position{Line: int32(line)}}}), llb.WithCustomName(name)}
}

type constraints []llb.ConstraintsOpt

func (c constraints) SetConstraintsOption(o *llb.Constraints) {
	for _, opt := range c {
		opt.SetConstraintsOption(o)
	}
}
func (c constraints) SetRunOption(i *llb.ExecInfo)            { c.SetConstraintsOption(&i.Constraints) }
func (c constraints) SetLocalOption(i *llb.LocalInfo)         { c.SetConstraintsOption(&i.Constraints) }
func (c constraints) SetHTTPOption(i *llb.HTTPInfo)           { c.SetConstraintsOption(&i.Constraints) }
func (c constraints) SetImageOption(i *llb.ImageInfo)         { c.SetConstraintsOption(&i.Constraints) }
func (c constraints) SetGitOption(i *llb.GitInfo)             { c.SetConstraintsOption(&i.Constraints) }
func (c constraints) SetImageBlobOption(*llb.ImageBlobInfo)   {}
func (c constraints) SetOCILayoutOption(i *llb.OCILayoutInfo) { c.SetConstraintsOption(&i.Constraints) }

// ask returns the operations of a build, what is remembered of it, and its steps.
func (u userBuild) ask(t *testing.T) (*Steps, Memory, []RanStep) {
	st := llb.Image("base:1@sha256:" + strings.Repeat(u.digest, 64))
	for _, kv := range u.env {
		st = st.AddEnv(kv[0], kv[1])
	}
	st = st.Run(append([]llb.RunOption{llb.Shlex("make"), at(u.file, 3, "[2/3] RUN make").(constraints)}, u.more...)...).Root()
	st = st.File(llb.Copy(llb.Local("context"), "/x", "/"), at(u.file, 4, "[3/3] COPY x /"))
	def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
	require.NoError(t, err)
	s := &Steps{}
	s.Add(def.ToPB())
	var ran []RanStep
	for id, o := range s.all {
		if o.line > 0 {
			ran = append(ran, RanStep{id, o.name})
		}
	}
	if len(ran) == 2 && ran[0].Name > ran[1].Name {
		ran[0], ran[1] = ran[1], ran[0]
	}
	require.Len(t, ran, 2)
	return s, Remember("v1", NewBuild("Dockerfile", []byte(u.file), "", nil), s, []byte("salt "+u.digest)), ran
}

func TestExplain(t *testing.T) {
	first := userBuild{file: userFile, digest: "a", env: [][2]string{{"A", "1"}}}
	const copied = "4 [3/3] COPY x /: what it is made of ran again: line 3"
	for name, tt := range map[string]struct {
		now   userBuild
		files map[string]string
		alone bool // only the COPY ran
		want  []string
	}{
		"nothing":       {now: first, want: []string{"3 [2/3] RUN make: " + Unknown, copied}},
		"a file":        {now: first, files: map[string]string{"x": "changed", "y": "changed"}, alone: true, want: []string{"4 [3/3] COPY x /: x changed"}},
		"the base":      {now: userBuild{file: userFile, digest: "b", env: first.env}, want: []string{"3 [2/3] RUN make: base base:1 is sha256:bbbbbbbbbbbb now, was sha256:aaaaaaaaaaaa", copied}},
		"a variable":    {now: userBuild{file: strings.Replace(userFile, "A=1", "A=2", 1), digest: "a", env: [][2]string{{"A", "2"}}}, want: []string{"3 [2/3] RUN make: variable A has another value: line 2, ENV A=2: it was ENV A=1", copied}},
		"a new one":     {now: userBuild{file: userFile, digest: "a", env: append([][2]string{{"B", "1"}}, first.env...)}, want: []string{"3 [2/3] RUN make: variable B is new", copied}},
		"one that goes": {now: userBuild{file: userFile, digest: "a"}, want: []string{"3 [2/3] RUN make: variable A is gone", copied}},
		"a host":        {now: userBuild{file: userFile, digest: "a", env: first.env, more: []llb.RunOption{llb.Network(pb.NetMode_NONE)}}, want: []string{"3 [2/3] RUN make: its command or its options differ", copied}},
		"no cache":      {now: userBuild{file: userFile, digest: "a", env: first.env, more: []llb.RunOption{llb.IgnoreCache}}, want: []string{"3 [2/3] RUN make: the build was asked not to use the cache (--no-cache, --no-cache-filter)", copied}},
		"another base":  {now: userBuild{file: strings.Replace(userFile, "base:1", "base:2", 1), digest: "a", env: first.env}, want: []string{"3 [2/3] RUN make: line 1, FROM base:2: it was FROM base:1", copied}},
	} {
		t.Run(name, func(t *testing.T) {
			_, before, _ := first.ask(t)
			steps, now, ran := tt.now.ask(t)
			if tt.alone {
				ran = ran[1:]
			}
			var got []string
			for _, c := range Explain(before, now, steps, tt.files, append(ran, RanStep{Digest: "sha256:none", Name: "exporting"})) {
				got = append(got, fmt.Sprintf("%d %s: %s", c.Line, c.Step, strings.Join(c.Why, ", ")))
			}
			require.Equal(t, tt.want, got)

			for i := range ran { // as builders name them that change digests
				ran[i].Digest = digest.FromString(ran[i].Name)
			}
			require.Len(t, Explain(before, now, steps, tt.files, ran), len(got))
		})
	}
}

// What a variable holds isn't in what is remembered, and the same value has another hash in another record.
func TestRememberNoValues(t *testing.T) {
	u := userBuild{file: userFile, digest: "a", env: [][2]string{{"TOKEN", "hunter2"}}}
	_, one, _ := u.ask(t)
	require.NotContains(t, fmt.Sprint(one), "hunter2")
	require.NotEmpty(t, one.Steps["line 3"][0].Variables["TOKEN"])
	s, _, _ := u.ask(t)
	other := Remember("v1", one.Build, s, []byte("another"))
	require.NotEqual(t, one.Steps["line 3"][0].Variables["TOKEN"], other.Steps["line 3"][0].Variables["TOKEN"])
}

// Steps of Larder's own are explained by what they are made of.
func TestExplainOwn(t *testing.T) {
	ask := func(version string, imports, args []string) (*Steps, Memory, []RanStep) {
		list := llb.Scratch().File(llb.Mkfile("/imports", 0o644, []byte(strings.Join(imports, "\n"))))
		own := step.Args(&step.Deps{Imports: step.In + "/imports", Dir: "/", Out: step.Out, Args: args})
		st := llb.Scratch().Run(llb.Args(append([]string{step.Dir + "/larder"}, own...)), llb.AddMount(step.In, list, llb.Readonly), llb.WithCustomName("[deps] compile")).AddMount(step.Out, llb.Scratch())
		def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
		require.NoError(t, err)
		s := &Steps{}
		s.Add(def.ToPB())
		b := NewBuild("Dockerfile", []byte("FROM go\n"), "", nil)
		b.Toolchains = []string{version}
		return s, Remember("v1", b, s, []byte("salt")), []RanStep{{Name: "[deps] compile"}}
	}
	_, before, _ := ask("go1.26.1", []string{"fmt", "html"}, []string{"-trimpath", "-tags=a"})
	s, now, ran := ask("go1.26.2", []string{"fmt", "io"}, []string{"-tags=b", "-race"})
	require.Equal(t, []Change{{0, "[deps] compile", []string{
		"go1.26.2, was go1.26.1", "io is imported now", "html is imported no more", "flag -tags=b, was -tags=a", "flag -race is new", "flag -trimpath is gone",
	}}}, Explain(before, now, s, nil, ran))
	now.Larder = "v2"
	require.Contains(t, Explain(before, now, s, nil, ran)[0].Why, "Larder v2, was v1")
}

// Beside a folder that replaces a module, files of a slice have the names that they have in the build context.
func TestWideSlices(t *testing.T) {
	plan := &planner.Plan{Wide: planner.Wide{Base: "build-context"}, Slices: []*planner.SourceSlice{{
		Context: planner.ContextPrefix + "source-2", Of: map[string]goslice.Slice{"linux/amd64": {Files: []string{"build-context/a/main.go", "lib/lib.go"}, Globs: []string{"build-context/a/html", "lib/x"}}},
	}}}
	b := NewBuild("Dockerfile", []byte("FROM go\nGO build ./a\n"), "", plan)
	require.Equal(t, []Slice{{planner.ContextPrefix + "source-2", []string{"a/main.go"}, []string{"a/html"}, false}}, b.Slices)
	r := b.Reads()
	require.Equal(t, []string{"a/main.go"}, r.Files)
	require.Equal(t, []string{"a/html"}, r.Folders)
	require.True(t, r.Of("a/html/deep/x"))
	require.False(t, r.Of("a/other"))
	for file, want := range map[string]string{"a/main.go": "a", "a/html/deep/x": "a", "lib/lib.go": "", "go.mod": ""} {
		dir, _ := b.Package(file)
		require.Equal(t, want, dir, file)
	}
}

func TestReads(t *testing.T) {
	for source, want := range map[string]string{
		".": ".", "/": ".", "conf": "conf", "conf/*.json": "conf", "./a/b?/c": "a", "*": ".", "$X/y": ".", "a/${X}": "a", "!a": ".", "../x": "x", `a/\[b`: "a",
	} {
		require.Equal(t, want, literal(source), source)
	}
}
