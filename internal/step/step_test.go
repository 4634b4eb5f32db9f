package step

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// fill sets all fields of a step.
func fill(s Step) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch v.Field(i).Kind() {
		case reflect.String:
			v.Field(i).SetString("-a, \"" + name + "=b")
		case reflect.Bool:
			v.Field(i).SetBool(true)
		case reflect.Slice:
			v.Field(i).Set(reflect.ValueOf([]string{"--" + name, "", "c d"}))
		default:
			v.Field(i).Set(reflect.ValueOf(Folders{"/" + name, 3}))
		}
	}
}

// What is written is read as what it was, every field of it.
func TestRoundTrip(t *testing.T) {
	for _, s := range kinds() {
		fill(s)
		process := append([]string{Dir + "/larder-frontend"}, Args(s)...)
		kind, args := Kind(process)
		require.Equal(t, s.define().kind, kind)
		again := reflect.New(reflect.TypeOf(s).Elem()).Interface().(Step)
		require.NoError(t, Parse(again, args), "%q", args)
		require.Equal(t, s, again, "%q", args)
		again, err := Read(process)
		require.NoError(t, err)
		require.Equal(t, s, again, "%q", args)

		of, ok := Of(process)
		require.True(t, ok)
		require.Equal(t, append([]string{kind}, args...), of)
	}
}

// What is empty isn't written.
func TestEmpty(t *testing.T) {
	require.Equal(t, []string{"in-build", "modules", "--sums", "a"}, Args(&Modules{Sums: "a"}))
	require.Equal(t, []string{"--dir=/d", "--vendor", "--", "build"}, Flags(&GoLine{Dir: "/d", Vendor: true, Line: []string{"build"}}))
	require.Equal(t, []string{"--"}, Flags(&GoCommand{}))
}

// A GO line's process has what is the same in all by its name.
func TestOf(t *testing.T) {
	args, ok := Of(append([]string{Go}, Flags(&GoLine{Dir: "/src/a", Deps: []string{"/more"}, Line: []string{"build ."}})...))
	require.True(t, ok)
	require.Equal(t, "go-line", args[0])
	line := &GoLine{}
	require.NoError(t, Parse(line, args[1:]))
	require.Equal(t, &GoLine{Dir: "/src/a", Target: LineTarget, GoCache: LineCache, Deps: []string{LineDeps, LineLinked, "/more"}, Line: []string{"build ."}}, line)

	args, ok = Of([]string{"git", "status"})
	require.True(t, ok)
	require.Equal(t, []string{"git", "status"}, args)
	for _, other := range [][]string{nil, {}, {"/usr/bin/larder", "build"}, {"/usr/bin/larder"}, {"/usr/bin/git", "status"}} {
		_, ok := Of(other)
		require.False(t, ok, "%q", other)
	}
	for _, other := range [][]string{nil, {"/.larder/larder-frontend", "in-build"}, {"/bin/larder", "in-build", "modules"}, {"/.larder/x/larder", "in-build", "modules"}, {Go, "--", "build"}} {
		kind, _ := Kind(other)
		require.Empty(t, kind, "%q", other)
	}
}

// A step that is called wrongly says which one, and how.
func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		step Step
		args []string
		want string
	}{
		{&Modules{}, nil, "in-build modules: --sums is missing"},
		{&Modules{}, []string{"--sums", "a", "--out", "b", "c"}, `in-build modules: unexpected argument "c"`},
		{&Static{}, []string{"--nonsense"}, "in-build static: flag provided but not defined: -nonsense"},
		{&GoLine{}, []string{"--dir=/", "--vendor=perhaps"}, "in-build go-line: invalid boolean value"},
		{&GoCommand{}, []string{"--modules", "/m,101"}, "PREFIX,COUNT with a count of at most 100"},
	} {
		err := Parse(tt.step, tt.args)
		require.ErrorContains(t, err, tt.want)
		require.ErrorAs(t, err, new(*UsageError))
	}
	for _, bad := range []string{"", "/modules", "/modules,", "/modules,-1", "/modules,101", "/modules,1,2"} {
		require.Error(t, new(Folders).Set(bad), bad)
	}
	require.Equal(t, []string{"/modules0", "/modules1"}, Folders{"/modules", 2}.Names())
}
