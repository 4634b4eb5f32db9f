package offline_test

import (
	"testing"

	"github.com/larder-build/larder/internal/proof/offline"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

const dgst = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func marshal(t *testing.T, st llb.State) *pb.Definition {
	def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
	require.NoError(t, err)
	return def.ToPB()
}

func policy(t *testing.T, list string) offline.Policy {
	p, err := offline.ParsePolicy(list)
	require.NoError(t, err)
	return p
}

func source(id string) llb.State {
	return llb.NewState(llb.NewSource(id, nil, llb.Constraints{}).Output())
}

func run(opts ...llb.RunOption) llb.State {
	return llb.Scratch().Run(append([]llb.RunOption{llb.Args([]string{"/x"})}, opts...)...).Root()
}

// What each operation comes to.
func TestCheck(t *testing.T) {
	none := llb.Network(pb.NetMode_NONE)
	for name, tt := range map[string]struct {
		state llb.State
		allow string
		want  string // of the one violation; "" for none
	}{
		"nothing":                   {llb.Scratch(), "", ""},
		"a file":                    {llb.Scratch().File(llb.Mkfile("/a", 0o644, nil)), "", ""},
		"a folder of the client's":  {llb.Local("context"), "", ""},
		"a layout of the client's":  {llb.OCILayout("x@"+dgst, llb.OCIStore("session", "store")), "", ""},
		"a blob of the client's":    {llb.OCILayoutBlob("x.example/x@" + dgst), "", ""},
		"merged and diffed":         {llb.Merge([]llb.State{llb.Local("a"), llb.Diff(llb.Local("a"), llb.Local("b"))}), "", ""},
		"an image":                  {llb.Image("alpine"), "", "the image docker.io/library/alpine:latest comes from a registry"},
		"an image by digest":        {llb.Image("r.example/a@" + dgst), "", "the image r.example/a@" + dgst + " comes from a registry"},
		"an image that is allowed":  {llb.Image("r.example:5000/base/go:1"), "r.example:5000/base", ""},
		"an image beside":           {llb.Image("r.example:5000/bases/go:1"), "r.example:5000/base", "the image r.example:5000/bases/go:1 comes from a registry"},
		"an image on another port":  {llb.Image("r.example:5001/go:1"), "r.example:5000", "the image r.example:5001/go:1 comes from a registry"},
		"an image of docker.io":     {llb.Image("alpine"), "docker.io/library", ""},
		"an image's blob":           {llb.ImageBlob("r.example/a@" + dgst), "", "the image r.example/a@" + dgst + " comes from a registry"},
		"an image's blob, allowed":  {llb.ImageBlob("r.example/a@" + dgst), "r.example", ""},
		"an image without sense":    {source("docker-image://::"), "r.example", "the image :: comes from a registry"},
		"a git repository":          {llb.Git("https://u:p@git.example/x.git", "main"), "", "the git repository git://git.example/x.git#main is fetched"},
		"a file of the web":         {llb.HTTP("https://u:p@f.example/x.tar?token=y"), "", "https://f.example/x.tar is downloaded"},
		"a file of the plain web":   {llb.HTTP("http://f.example"), "", "http://f.example is downloaded"},
		"a bucket":                  {source("s3://bucket/x"), "", "s3://bucket/x is a source that Larder doesn't know"},
		"a source without a scheme": {source("local"), "", "local is a source that Larder doesn't know"},
		"a scheme of other case":    {source("LOCAL://x"), "", "LOCAL://x is a source that Larder doesn't know"},
		"a step without a network":  {run(none), "", ""},
		"a step":                    {run(), "", "the step runs with the builder's network"},
		"a step on the host's":      {run(llb.Network(pb.NetMode_HOST)), "", "the step runs with the network of the builder's host"},
		"a step on a new one":       {run(llb.Network(9)), "", "the step runs with network mode 9, which Larder doesn't know"},
		"an unneeded input":         {run(none, llb.AddMount("/m", llb.Image("r.example/a"))), "", "the image r.example/a:latest comes from a registry"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, v := range offline.Check(marshal(t, tt.state), policy(t, tt.allow)).Violations {
				got = append(got, v.String())
			}
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			require.Equal(t, want, got)
		})
	}
}

// A builder that replays has no network to give: what asks for one passes, and all else is refused as before.
func TestCheckReplayed(t *testing.T) {
	allow := offline.Policy{Replayed: true}
	st := run(llb.AddMount("/a", llb.HTTP("https://f.example/x")), llb.AddMount("/b", run(llb.Network(pb.NetMode_HOST))), llb.AddMount("/c", run(llb.Network(pb.NetMode_NONE))))
	report := offline.Check(marshal(t, st), allow)
	require.Empty(t, report.Violations)
	require.Equal(t, 3, report.Steps)
	require.Equal(t, 2, report.Replayed)
	for want, st := range map[string]llb.State{
		"the git repository git://git.example/x.git#main is fetched":      llb.Git("https://git.example/x.git", "main"),
		"the image docker.io/library/alpine:latest comes from a registry": llb.Image("alpine"),
		"s3://bucket/x is a source that Larder doesn't know":              source("s3://bucket/x"),
		"the step runs with network mode 9, which Larder doesn't know":    run(llb.Network(9)),
	} {
		got := offline.Check(marshal(t, st), allow).Violations
		require.Len(t, got, 1)
		require.Equal(t, want, got[0].String())
	}
}

// What can't be read isn't let pass.
func TestCheckRefusesTheUnknown(t *testing.T) {
	raw := func(op *pb.Op, more ...byte) []byte {
		data, err := op.MarshalVT()
		require.NoError(t, err)
		return append(data, more...)
	}
	future := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	exec := &pb.ExecOp{Network: pb.NetMode_NONE}
	exec.ProtoReflect().SetUnknown(future)
	local := &pb.SourceOp{Identifier: "local://context"}
	local.ProtoReflect().SetUnknown(future)
	head := raw(&pb.Op{Inputs: []*pb.Input{{Digest: dgst}}})
	for name, tt := range map[string]struct {
		def  [][]byte
		want offline.Kind
	}{
		"not an operation":         {[][]byte{{0xff}, head}, offline.Unknown},
		"an operation of no kind":  {[][]byte{raw(&pb.Op{}), head}, offline.Unknown},
		"of a kind to come":        {[][]byte{raw(&pb.Op{}, future...), head}, offline.Unknown},
		"of a kind to come, last":  {[][]byte{raw(&pb.Op{}, future...)}, offline.Unknown},
		"a step with a new field":  {[][]byte{raw(&pb.Op{Op: &pb.Op_Exec{Exec: exec}}), head}, offline.Unknown},
		"a source with one":        {[][]byte{raw(&pb.Op{Op: &pb.Op_Source{Source: local}}), head}, offline.Source},
		"a definition made by one": {[][]byte{raw(&pb.Op{Op: &pb.Op_Build{Build: &pb.BuildOp{}}}), head}, offline.Nested},
	} {
		t.Run(name, func(t *testing.T) {
			got := offline.Check(&pb.Definition{Def: tt.def}, offline.Policy{}).Violations
			require.Len(t, got, 1)
			require.Equal(t, tt.want, got[0].Kind)
		})
	}
	require.Empty(t, offline.Check(&pb.Definition{Def: [][]byte{head}}, offline.Policy{}).Violations)
	require.Empty(t, offline.Check(nil, offline.Policy{}).Violations)
}

const dockerfile = `FROM alpine AS a
RUN x
RUN --network=default y
GO --network=host test ./...
ADD https://f.example/x /
`

func at(file *llb.SourceMap, line int) llb.ConstraintsOpt {
	return file.Location([]*pb.Range{{Start: &pb.Position{Line: int32(line)}, End: &pb.Position{Line: int32(line)}}})
}

// Violations are in the order of the file, each once, and a line that asks for a network is one though it has none.
func TestCheckNamesTheLines(t *testing.T) {
	none := llb.Network(pb.NetMode_NONE)
	file := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(dockerfile))
	st := llb.Image("alpine", at(file, 1)).Run(llb.Args([]string{"x"}), none, at(file, 2)).
		Run(llb.Args([]string{"y"}), none, at(file, 3)).Run(llb.Args([]string{"z"}), none, at(file, 4)).
		Run(llb.Args([]string{"w"}), none, llb.AddMount("/m", llb.Image("alpine", llb.LinuxArm64, at(file, 1)))).
		File(llb.Copy(llb.HTTP("https://f.example/x"), "x", "/"), at(file, 5)).
		Run(llb.Args([]string{"in-build"}), llb.WithCustomName("last")).Root()
	type found struct {
		file string
		line int
		text string
		name string
		what string
	}
	var got []found
	for _, v := range offline.Check(marshal(t, st), offline.Policy{}).Violations {
		f := found{name: v.Name, what: v.String()}
		f.file, f.line, f.text = v.Line()
		got = append(got, f)
	}
	require.Equal(t, []found{
		{"Dockerfile", 1, "FROM alpine AS a", "", "the image docker.io/library/alpine:latest comes from a registry"},
		{"Dockerfile", 3, "RUN --network=default y", "", "the line has --network=default, and no step has a network"},
		{"Dockerfile", 4, "GO --network=host test ./...", "", "the line has --network=host, and no step has a network"},
		{"Dockerfile", 5, "ADD https://f.example/x /", "", "https://f.example/x is downloaded"},
		{"", 0, "", "last", "the step runs with the builder's network"},
	}, got)
}

// A place that isn't in the definition doesn't hide what is wrong.
func TestCheckOfBrokenPlaces(t *testing.T) {
	def := marshal(t, run())
	for data := range def.Metadata {
		def.Source.Locations[data] = &pb.Locations{Locations: []*pb.Location{
			{SourceIndex: 7, Ranges: []*pb.Range{{}}}, {SourceIndex: -1, Ranges: []*pb.Range{{}}}, {SourceIndex: 0},
		}}
	}
	got := offline.Check(def, offline.Policy{}).Violations
	require.Len(t, got, 1)
	require.Nil(t, got[0].At)

	v := offline.Violation{At: &errdefs.Source{Info: &pb.SourceInfo{Filename: "x"}, Ranges: []*pb.Range{{Start: &pb.Position{Line: 3}}}}}
	file, line, text := v.Line()
	require.Equal(t, []any{"x", 3, ""}, []any{file, line, text})
}

func TestReport(t *testing.T) {
	st := llb.Image("r.example/b").Run(llb.Args([]string{"x"}), llb.Network(pb.NetMode_NONE), llb.Security(pb.SecurityMode_INSECURE),
		llb.AddSSHSocket(), llb.AddMount("/c", llb.Local("context"), llb.Readonly)).
		Run(llb.Args([]string{"y"}), llb.Network(pb.NetMode_NONE), llb.AddMount("/a", llb.Image("r.example/a@"+dgst))).Root()
	def := marshal(t, st)
	got := offline.Check(def, policy(t, "r.example"))
	require.Equal(t, offline.Report{
		Definition: digest.FromBytes(def.Def[len(def.Def)-1]),
		Sources:    map[string]int{"docker-image": 2, "local": 1},
		Images:     []string{"r.example/a@" + dgst, "r.example/b:latest"},
		Steps:      2, Insecure: 1, SSH: 1,
	}, got)
}

func TestParsePolicy(t *testing.T) {
	require.Equal(t, []string{}, policy(t, " , ").Strings())
	require.Equal(t, []string{"127.0.0.1:5000/a/b", "localhost", "r.example"}, policy(t, "r.example/, localhost,127.0.0.1:5000/a/b,r.example").Strings())
	for _, bad := range []string{"alpine", "registry", "library/alpine", "https://r.example", "r.example/a:1", "r.example/a@" + dgst, "r.example/A", "r.example/*", "*.example", "r.example//a"} {
		_, err := offline.ParsePolicy("ok.example," + bad)
		require.ErrorContains(t, err, `is no registry: expected`, bad)
	}
	require.False(t, policy(t, "r.example").Image("Not A Reference"))
	require.True(t, policy(t, "localhost").Image("localhost/x"))
}

// Whatever a definition holds, Check ends, and what it lets pass has neither a source nor a step that it shouldn't.
func FuzzCheck(f *testing.F) {
	for _, st := range []llb.State{llb.Image("alpine"), run(), run(llb.Network(pb.NetMode_NONE)), llb.Git("https://g.example/x", ""), llb.Local("context")} {
		def, err := st.Marshal(f.Context())
		require.NoError(f, err)
		f.Add(def.Def[0], dockerfile)
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		def := &pb.Definition{Def: [][]byte{data, nil}, Source: &pb.Source{
			Infos: []*pb.SourceInfo{{Filename: "Dockerfile", Data: []byte(text)}},
			Locations: map[string]*pb.Locations{string(digest.FromBytes(data)): {Locations: []*pb.Location{
				{Ranges: []*pb.Range{{Start: &pb.Position{Line: 3}}}},
			}}},
		}}
		if len(offline.Check(def, offline.Policy{}).Violations) > 0 {
			return
		}
		var op pb.Op
		require.NoError(t, op.UnmarshalVT(data))
		require.Nil(t, op.GetBuild())
		if exec := op.GetExec(); exec != nil {
			require.Equal(t, pb.NetMode_NONE, exec.Network)
		}
		if src := op.GetSource(); src != nil {
			require.Regexp(t, `^(local|oci-layout|oci-layout\+blob)://`, src.Identifier)
		}
	})
}
