package gowords

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyCompiles(t *testing.T) {
	for line, why := range map[string]string{
		`build`: "",
		`build -trimpath -ldflags="-s -w -X main.version=${VERSION}" -o /out/ ./cmd/...`: "",
		`build --trimpath --ldflags '-X=main.a=b -buildid=' -tags a,b -p 2 .`:            "",
		`build "-ldflags=-X 'main.a=b c' -linkmode=internal" .`:                          "",
		`build -ldflags=all=-w -gcflags="all=-N -l" -buildvcs .`:                         "",
		`build -ldflags "-linkmode external -extldflags '-static'" .`:                    "",
		`vet -json ./...`:     "",
		`install -v ./cmd/x`:  "",
		`build -o ${OUT}/x .`: "",

		`test ./...`:                                            "only build, install and vet do no more than compile",
		`run .`:                                                 "only build, install and vet do no more than compile",
		`build -toolexec=/src/evil .`:                           "-toolexec may run",
		`build --toolexec /src/evil .`:                          "-toolexec may run",
		`build -exec /src/evil .`:                               "-exec may run",
		`vet -vettool=/src/evil .`:                              "-vettool may run",
		`vet -fix .`:                                            "-fix may run",
		`build -overlay=/src/o.json .`:                          "-overlay may run",
		`build -pkgdir=/.larder/cache .`:                        "-pkgdir may run",
		`build -asmflags=-o=/.larder/cache/00/x .`:              "-asmflags may run",
		`build -gcflags=-o=/.larder/cache/00/x .`:               "-gcflags has -o",
		`build -gcflags="-N -cpuprofile=/.larder/cache/00/x" .`: "-gcflags has -cpuprofile",
		`build -gcflags="std=-importcfg=/src/evil" .`:           "-gcflags has -importcfg",
		`build -ldflags="-s -extld=/src/evil" .`:                "-ldflags has -extld,",
		`build -ldflags="-X a.b=c /src/evil.a" .`:               `-ldflags has "/src/evil.a"`,
		`build -ldflags="-extldflags=-fplugin=/src/evil.so" .`:  "-extldflags with -fplugin=/src/evil.so",
		`build -ldflags="-extldflags '-static -B/src'" .`:       "-extldflags with -B/src",
		`build -ldflags="-X" .`:                                 "-X has no value",
		`build -ldflags="$LDFLAGS" .`:                           `-ldflags has "$LDFLAGS"`,
		`build -ldflags="-X a.b=c $MORE" .`:                     `-ldflags has "$MORE"`,
		`build -ldflags="$A=-s" .`:                              `-ldflags has "$A=-s"`,
		`build $FLAGS .`:                                        "$FLAGS isn't known",
		`build -tags=$TAGS .`:                                   "-tags=$TAGS isn't known",
		`build -$FLAG .`:                                        "-$FLAG may run",
		`build . -toolexec=/src/evil`:                           "-toolexec may run",
		`build -tags`:                                           "-tags has no value",
		`build -ldflags="-s 'x" .`:                              "unterminated",
	} {
		words, err := Split(line, '\\')
		require.NoError(t, err, line)
		got := OnlyCompiles(words)
		if why == "" {
			require.Empty(t, got, line)
			continue
		}
		require.Contains(t, got, why, line)
	}
	require.NotEmpty(t, OnlyCompiles(nil))
	require.Empty(t, FlagsOnlyCompile("-trimpath '-ldflags=-s -w'"))
	require.Contains(t, FlagsOnlyCompile("-toolexec=x"), "-toolexec may run")
	require.Contains(t, FlagsOnlyCompile("'-v"), "unterminated")
}
