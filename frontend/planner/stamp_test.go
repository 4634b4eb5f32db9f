package planner

import (
	"strings"
	"testing"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/stretchr/testify/require"
)

func TestCompileArgs(t *testing.T) {
	for _, tt := range []struct {
		args, want string
		varies     bool
	}{
		{"./...", "./...", false},
		{"-trimpath -ldflags=-s -o /out/ ./cmd/a ./cmd/b", "-trimpath ./cmd/a ./cmd/b", false},
		{"-trimpath -ldflags=-X=main.v=$V -o=/out/$V -v .", "-trimpath .", true},
		{"--ldflags $F --tags a,b -gcflags all=-N -o /out .", "--tags a,b -gcflags all=-N .", true},
		{"-buildvcs . -buildvcs=true -x -work", ".", false},
		{"-gcflags=$F .", "-gcflags=$F .", false},
		{"-ldflags", "", false},
	} {
		got, varies := dockerfile.CompileArgs(strings.Fields(tt.args))
		require.Equal(t, tt.want, strings.Join(got, " "), tt.args)
		require.Equal(t, tt.varies, varies, tt.args)
	}
}

func TestWantsVCS(t *testing.T) {
	for _, tt := range []struct {
		env, arg, line string
		want           bool
	}{
		{"", "", "build .", false},
		{"", "", "build -buildvcs .", true},
		{"", "", "build --buildvcs=1 .", true},
		{"", "", "build -buildvcs=auto .", false},
		{"", "", "build -buildvcs=false -buildvcs=true .", true},
		{"", "", "build buildvcs", false},
		{"", "-buildvcs", "build .", true},
		{"-buildvcs=true", "-buildvcs=false", "build .", false},
		{"-trimpath -buildvcs=true", "", "build .", true},
		{"-buildvcs=true", "", "build -buildvcs=false .", false},
	} {
		w := &planner{Request: Request{BuildArgs: map[string]string{"GOFLAGS": tt.arg}}}
		got := w.wantsVCS(&scope{env: env{"GOFLAGS": tt.env}}, &dockerfile.GoLine{Words: strings.Fields(tt.line)})
		require.Equal(t, tt.want, got, "%+v", tt)
	}
}
