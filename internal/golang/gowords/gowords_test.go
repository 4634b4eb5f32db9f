package gowords

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/stretchr/testify/require"
)

var lineEnv = []string{"V=v1.2.3", "TWO=a b", "PAD= a ", "EMPTY=", "Q=it's \"so\"", "GLOB=*", "DOLLAR=$V", "PKG=./cmd/api"}

func TestExpand(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string
	}{
		{`build -o /out/ ./cmd/...`, []string{"build", "-o", "/out/", "./cmd/..."}},
		{"  build \t -v  ", []string{"build", "-v"}},
		{`build -ldflags="-s -w -X main.v=${V}" .`, []string{"build", "-ldflags=-s -w -X main.v=v1.2.3", "."}},
		{`build -ldflags "-X main.v=$V" $PKG`, []string{"build", "-ldflags", "-X main.v=v1.2.3", "./cmd/api"}},
		{`build -ldflags='-X main.v=$V'`, []string{"build", "-ldflags=-X main.v=$V"}},
		{`build -ldflags="-X 'main.v=$TWO'"`, []string{"build", "-ldflags=-X 'main.v=a b'"}},
		{`list -f '{{.ImportPath}} ${V}'`, []string{"list", "-f", "{{.ImportPath}} ${V}"}},
		{`list -f "{{.ImportPath}} ${V}"`, []string{"list", "-f", "{{.ImportPath}} v1.2.3"}},

		// Variables.
		{`build ${NONE} -v $NONE`, []string{"build", "-v"}},
		{`build x${NONE}y`, []string{"build", "xy"}},
		{`build -tags=$NONE`, []string{"build", "-tags="}},
		{`build ${NONE:-x}`, []string{"build", "x"}},
		{`build -o /out/${NONE:-x}-${EMPTY:-y}/ .`, []string{"build", "-o", "/out/x-y/", "."}}, // the lexer loses "/out/"
		{`build ${NONE:-x y}`, []string{"build", "x", "y"}},
		{`build "${NONE:-x y}"`, []string{"build", "x y"}},
		{`build ${NONE:-"x y"}z`, []string{"build", "x", "yz"}}, // the lexer's way: quotes within ${} don't hold
		{`build ${NONE:-$PKG}`, []string{"build", "./cmd/api"}},
		{`build ${NONE:-${TWO}}`, []string{"build", "a", "b"}},
		{`build ${NONE:-"}"}`, []string{"build", "}"}},
		{`build ${EMPTY-x} ${EMPTY:-y}`, []string{"build", "y"}},
		{`build ${V:+-v} ${NONE:+-x}`, []string{"build", "-v"}},
		{`build ${V#v} ${V%.*} ${V%%.*} ${V/1./2.}`, []string{"build", "1.2.3", "v1.2", "v1", "v2.2.3"}},
		{`build ${TWO/a b/c d}`, []string{"build", "c", "d"}},
		{`build $TWO`, []string{"build", "a", "b"}},
		{`build x$TWO.y`, []string{"build", "xa", "b.y"}},
		{`build "$TWO"`, []string{"build", "a b"}},
		{`build $PAD x`, []string{"build", "a", "x"}},
		{`run . "$Q" $GLOB`, []string{"run", ".", `it's "so"`, "*"}},
		{`run . $DOLLAR`, []string{"run", ".", "$V"}},
		{`test -run ^TestX$ .`, []string{"test", "-run", "^TestX$", "."}},
		{`run . $(date)`, []string{"run", ".", "$(date)"}},
		{`run . $$V`, []string{"run", ".", "V"}},
		{`$EMPTY build`, []string{"build"}},

		// Empty arguments stay.
		{`run . ""`, []string{"run", ".", ""}},
		{`run . '' x`, []string{"run", ".", "", "x"}},
		{`build -ldflags "" .`, []string{"build", "-ldflags", "", "."}},
		{`run . "${NONE}" x`, []string{"run", ".", "", "x"}},
		{`run . """" ''"${EMPTY}"`, []string{"run", ".", "", ""}},
		{`run . ""x "$EMPTY"$V`, []string{"run", ".", "x", "v1.2.3"}},
		{`run . ${NONE:-""}`, []string{"run", "."}},

		// Escapes.
		{`run . a\ b \"c\" \'`, []string{"run", ".", "a b", `"c"`, "'"}},
		{`run . \$V "\$V" "\n" "\"" '\n'`, []string{"run", ".", "$V", "$V", `\n`, `"`, `\n`}},
		{`run . C:\\x "C:\\x"`, []string{"run", ".", `C:\x`, `C:\x`}},
		{`run . "a\" b" \\" c"`, []string{"run", ".", `a" b`, `\ c`}},
		{`run . x\`, []string{"run", ".", "x"}},

		// No here-documents and no other syntax of a shell.
		{`run . << EOF`, []string{"run", ".", "<<", "EOF"}},
		{`run . <<EOF <x a<b "<<"`, []string{"run", ".", "<<EOF", "<x", "a<b", "<<"}},
		{`vet ./... && true | x; # y > z`, []string{"vet", "./...", "&&", "true", "|", "x;", "#", "y", ">", "z"}},
		{`run . größe "日 本"`, []string{"run", ".", "größe", "日 本"}},
	} {
		got, err := Expand(tt.line, '\\', lineEnv)
		require.NoError(t, err, tt.line)
		require.Equal(t, tt.want, got, tt.line)
	}
}

func TestExpandOtherEscape(t *testing.T) {
	got, err := Expand("run . C:\\x a` b `$V \"`\"\" \"`x\"", '`', lineEnv)
	require.NoError(t, err)
	require.Equal(t, []string{"run", ".", `C:\x`, "a b", "$V", `"`, "`x"}, got)
}

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		`build -ldflags="-s -w -X main.v=${V:-none}" -o /out/ .`: {"build", "-ldflags=-s -w -X main.v=${V:-none}", "-o", "/out/", "."},
		`build -o /out/${V:-x}/"$TWO" '$V'`:                      {"build", "-o", "/out/${V:-x}/$TWO", "$V"},
		`build ${V:-x y} $TWO`:                                   {"build", "${V:-x y}", "$TWO"},
		`run . "" <<EOF \"`:                                      {"run", ".", "", "<<EOF", `"`},
		"":                                                       nil,
	} {
		got, err := Split(line, '\\')
		require.NoError(t, err, line)
		require.Equal(t, want, got, line)
	}
	_, err := Split(`build "x`, '\\')
	require.ErrorContains(t, err, "unexpected end of statement while looking for matching double-quote")
}

func TestExpandFails(t *testing.T) {
	for line, want := range map[string]string{
		`build -ldflags="-s .`:    "looking for matching double-quote",
		`build 'x y`:              "looking for matching single-quote",
		`build "${V y" z`:         "unsupported modifier",
		`build ${V`:               "unsupported modifier",
		`build ${}`:               "bad substitution",
		`build ${NONE:?set NONE}`: "NONE: set NONE",
		``:                        "expected a subcommand",
		`$NONE ${EMPTY}`:          "expected a subcommand",
	} {
		_, err := Expand(line, '\\', lineEnv)
		require.ErrorContains(t, err, want, line)
		require.ErrorContains(t, err, "the line GO "+line)
		require.NotContains(t, err.Error(), "\n")
	}
}

// Splitting before the lexer changes nothing but that arguments that are empty stay. Words with ${X:-y} are left out: the
// lexer loses a part of them.
func TestExpandIsTheLexers(t *testing.T) {
	pieces := []string{"a", " ", " ", "\t", `"`, `"`, "'", `\`, "$V", "$TWO", "$PAD", "$NONE", "${V}", "${NONE}", "$", "{x", "/", "-x="}
	random := rand.New(rand.NewPCG(1, 2))
	compared := 0
	for range 50_000 {
		var b strings.Builder
		for range random.IntN(12) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		line := "run " + b.String()
		want, err := shell.NewLex('\\').ProcessWords(line, shell.EnvsFromSlice(lineEnv))
		got, ourErr := Expand(line, '\\', lineEnv)
		require.Equal(t, err == nil, ourErr == nil, fmt.Sprintf("%q: %v, %v", line, err, ourErr))
		if err == nil {
			compared++
			require.Equal(t, want, slices.DeleteFunc(got, func(s string) bool { return s == "" }), fmt.Sprintf("%q", line))
		}
	}
	require.Greater(t, compared, 1000)
}
