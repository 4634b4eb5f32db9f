package inbuild

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/step"
	"github.com/stretchr/testify/require"
)

// compose returns the environment that a GO line's flags make of a stage's; "-" is a variable that is unset.
func compose(t *testing.T, words, stage, line string) (func(key string) string, error) {
	t.Helper()
	args := append([]string{"--dir", "/src"}, strings.Fields(words)...)
	flags := new(step.GoLine)
	require.NoError(t, step.Parse(flags, append(args, "--", line)))
	l, err := newGoLine(flags)
	require.NoError(t, err)
	list, err := l.environment(strings.Split(stage, "|"), strings.Fields(line))
	return func(key string) string {
		var found []string
		for _, kv := range list {
			if v, ok := strings.CutPrefix(kv, key+"="); ok {
				found = append(found, v)
			}
		}
		require.LessOrEqual(t, len(found), 1, key)
		return strings.Join(append(found, "-")[:1], "")
	}, err
}

func TestGoLineEnvironment(t *testing.T) {
	arm, v3 := targetFile(t, "GOOS=linux\nGOARCH=arm\nGOARM=7\n"), targetFile(t, "GOOS=linux\nGOARCH=amd64\nGOAMD64=v3")
	for _, tt := range []struct{ flags, stage, line, want string }{
		// What is always so, whatever the stage and the build arguments say.
		{"", "A=b", "build", "A=b GOENV=off GOTOOLCHAIN=local GOPROXY=off GONOPROXY=none GOSUMDB=off GOVCS=*:off GOTELEMETRY=off GOWORK=off"},
		{"--env GOPROXY=https://c", "GOPROXY=https://a|GOTOOLCHAIN=auto|GOENV=/x|GOPRIVATE=*|GONOPROXY=*|GOWORK=/go.work", "build", "GOPROXY=off GOTOOLCHAIN=local GOENV=off GOPRIVATE=* GONOPROXY=none GOWORK=off"},
		{"", "", "build", "GOPATH=/go HOME=/root GOMODCACHE=/go/pkg/mod GOCACHE=- PWD=/src CGO_ENABLED=0"},
		{"", "GOPATH=/p|HOME=/home/u|GOCACHE=/c|GOMODCACHE=/m", "build", "GOPATH=/p HOME=/home/u GOCACHE=/c GOMODCACHE=/go/pkg/mod"},
		{"--gocache /g --modcache /mods --work /src/go.work", "GOCACHE=/c", "build", "GOCACHE=/g GOMODCACHE=/mods GOWORK=/src/go.work"},

		// The target platform.
		{"", "", "build", "GOOS=- GOARCH=-"},
		{"--target " + arm, "", "build", "GOOS=linux GOARCH=arm GOARM=7"},
		{"--target " + arm, "", "install", "GOOS=linux GOARCH=arm GOARM=7"},
		{"--target " + arm, "", "vet", "GOARCH=arm"},
		{"--target " + arm, "", "list", "GOARCH=arm"},
		{"--target " + v3, "", "build", "GOAMD64=v3"},
		{"--target " + arm, "GOOS=", "build", "GOOS=linux"},
		{"--target " + arm, "GOOS=windows|GOARCH=arm64", "build", "GOOS=windows GOARCH=arm64 GOARM=7"},
		{"--target " + arm, "GOARM=6", "build", "GOARCH=arm GOARM=6"},
		{"--target " + v3 + " --env GOAMD64=v2", "GOAMD64=v1", "build", "GOAMD64=v2"},

		// What runs is for the builder.
		{"--target " + arm, "", "test ./...", "GOOS=- GOARCH=- GOARM=-"},
		{"--target " + arm, "GOOS=linux|GOARCH=arm|GOARM=7", "test ./...", "GOOS=- GOARCH=- GOARM=-"},
		{"--target " + arm, "GOOS=linux|GOARCH=arm|GOARM=7", "run .", "GOOS=- GOARCH=- GOARM=-"},
		{"--target " + v3, "GOOS=linux|GOARCH=amd64|GOAMD64=v3", "tool x", "GOOS=- GOARCH=- GOAMD64=-"},
		{"--target " + v3, "GOAMD64=v2", "test", "GOOS=- GOAMD64=v2"},
		{"--target " + arm, "GOOS=linux|GOARCH=386|GOARM=7", "test", "GOOS=linux GOARCH=386 GOARM=7"},
		{"--target " + arm, "GOOS=wasip1|GOARCH=wasm", "test", "GOOS=wasip1 GOARCH=wasm"},
		{"--target " + arm, "GOOS=windows", "run .", "GOOS=windows GOARCH=-"},
		{"--target " + arm, "", "test -c -o /out/t .", "GOARCH=arm GOARM=7"},
		{"--target " + arm, "", "test --c=true .", "GOARCH=arm"},
		{"--target " + arm, "", "test . -args -c", "GOARCH=-"},

		// cgo.
		{"", "CGO_ENABLED=", "build", "CGO_ENABLED=0"},
		{"", "CGO_ENABLED=1|CC=true -x", "build", "CGO_ENABLED=1 CC=true%-x"},
		{"--cgo=true", "CGO_ENABLED=0|CC=true", "build", "CGO_ENABLED=1"},
		{"--cgo=false", "CGO_ENABLED=1|CC=/none", "build", "CGO_ENABLED=0"},
		{"--cgo false --env CGO_ENABLED=1", "CC=/none", "build", "CGO_ENABLED=0"},
		{"--env CGO_ENABLED=0", "CGO_ENABLED=1|CC=/none", "build", "CGO_ENABLED=0"},
		{"", "CGO_ENABLED=1|CC=/none", "version", "CGO_ENABLED=1"},

		// Build arguments.
		{"--env GODEBUG=a=1,b=2 --env GOEXPERIMENT=x", "GODEBUG=c=3", "build", "GODEBUG=a=1,b=2 GOEXPERIMENT=x"},
		{"--env GOEXPERIMENT=", "GOEXPERIMENT=x", "build", "GOEXPERIMENT="},

		// GOFLAGS.
		{"", "", "build", "GOFLAGS=-mod=readonly"},
		{"", "GOFLAGS= ", "build", "GOFLAGS=-mod=readonly"},
		{"", "GOFLAGS=-v", "build", "GOFLAGS=-mod=readonly%-v"},
		{"--env GOFLAGS=-tags=b", "GOFLAGS=-tags=a", "build", "GOFLAGS=-mod=readonly%-tags=a%-tags=b"},
		{"--env GOFLAGS=-v --env GOFLAGS=-x", "", "build", "GOFLAGS=-mod=readonly%-v%-x"},
		{"", "GOFLAGS=-mod=readonly", "build", "GOFLAGS=-mod=readonly"},
		{"", "GOFLAGS=--mod=vendor -v", "build", "GOFLAGS=--mod=vendor%-v"},
		{"--vendor", "", "build", "GOFLAGS=-mod=vendor"},
		{"--vendor", "GOFLAGS=-v", "build", "GOFLAGS=-v%-mod=vendor"},
		{"--vendor", "GOFLAGS=-mod=readonly", "build", "GOFLAGS=-mod=readonly%-mod=vendor"},
		{"--vendor", "GOFLAGS=-mod=vendor", "build", "GOFLAGS=-mod=vendor"},
		{"", "GOFLAGS='-ldflags=-s -w' \"-tags=a\"", "build", "GOFLAGS=-mod=readonly%'-ldflags=-s%-w'%\"-tags=a\""},
		{"", "GOFLAGS='-ldflags=-X main.f=-overlay=x'", "build", "GOFLAGS=-mod=readonly%'-ldflags=-X%main.f=-overlay=x'"},
		{"", "GOFLAGS=-modcacherw -execute", "build", "GOFLAGS=-mod=readonly%-modcacherw%-execute"},
	} {
		env, err := compose(t, tt.flags, tt.stage, tt.line)
		require.NoError(t, err, tt)
		for want := range strings.FieldsSeq(tt.want) {
			key, value, _ := strings.Cut(want, "=")
			require.Equal(t, strings.ReplaceAll(value, "%", " "), env(key), "%s of %v", key, tt)
		}
	}
}

func targetFile(t *testing.T, text string) string {
	file := filepath.Join(t.TempDir(), "target")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

func TestGoLineEnvironmentRefused(t *testing.T) {
	for _, tt := range []struct{ flags, stage, want string }{
		{"", "GOFLAGS=-mod=mod", "-mod=mod is refused there"},
		{"", "GOFLAGS=-v --mod=mod", "--mod=mod is refused there"},
		{"--vendor", "GOFLAGS=-mod=mod", "write it on the GO line itself"},
		{"", "GOFLAGS=-modfile=x.mod", "-modfile=x.mod is refused there"},
		{"", "GOFLAGS=--overlay=/o.json", "--overlay=/o.json is refused there"},
		{"", "GOFLAGS=-overlay", "-overlay is refused there"},
		{"", "GOFLAGS=-v\t-toolexec=x", "-toolexec=x is refused there"},
		{"", `GOFLAGS="-toolexec=x y"`, "-toolexec=x y is refused there"},
		{"", `GOFLAGS='-v' '--exec=sh -c'`, "--exec=sh -c is refused there"},
		{"", `GOFLAGS='-v'-exec=x`, "-exec=x is refused there"},
		{"--env GOFLAGS=-exec", "GOFLAGS=-v", "GOFLAGS=-exec: -exec is refused there"},
		{"--env GOFLAGS=-mod=mod", "", "GOFLAGS=-mod=mod: -mod=mod is refused there"},
		{"--env GOFLAGS=-v", "GOFLAGS=-mod=mod", "-mod=mod is refused there"},
		{"", "GOFLAGS='-v", "unterminated ' string"},
		{"", "CGO_ENABLED=1|CC=/none/cc -m64", "CC=/none/cc -m64, but this stage has no such C compiler: start the stage from"},
		{"", "CGO_ENABLED=1|CC='cc", "no such C compiler"},
		{"--target /none/file", "", "reading the target platform"},
		{"--target " + targetFile(t, "GOOS=linux\nPATH=/x\n"), "", `not "PATH=/x"`},
		{"--target " + targetFile(t, "GOOS\n"), "", `not "GOOS"`},
	} {
		_, err := compose(t, tt.flags, tt.stage, "build")
		require.ErrorContains(t, err, tt.want, tt)
	}
}
