package expand_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/expand"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/stretchr/testify/require"
)

func newLex() *expand.Lex { return expand.New(shell.NewLex('\\')) }

func TestWord(t *testing.T) {
	env := shell.EnvsFromSlice([]string{"PATH=/usr/bin:/bin", "A=a", "EMPTY="})
	for _, word := range []string{
		"", "plain", "$A", "${A}/b", `\$A '$A' "$A"`, "${NONE:-x$A}", "${A:+y}", "${PATH//:/ }", "${PATH%:*}", "${PATH#/usr}",
		"${PATH/bin/sbin}", "https://x/${A}//${EMPTY}", "${A", "${A?}",
	} {
		want, wantErr := shell.NewLex('\\').ProcessWordWithMatches(word, env)
		lex := newLex()
		got, err := lex.Word(word, env)
		require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err), word)
		require.Equal(t, want, got, word)
		require.NoError(t, lex.Err())
	}
}

// Words that ask for gigabytes are refused before these are made.
func TestTooLong(t *testing.T) {
	long := strings.Repeat("x", 10<<10)
	env := shell.EnvsFromSlice([]string{"A=" + long, "B=" + strings.Repeat("xy", 40<<10), "\u00c4=" + long})
	for name, word := range map[string]string{
		"many":                    strings.Repeat("${A}", 20<<10),
		"replaced":                "${A//x/" + long + "}",
		"replaced by itself":      "${A//x/${A}}",
		"a name of other letters": "${\u00c4//x/" + long + "}",
		"nested":                  "${A//x/${A//x/${A//x/yyyyyyyyyyyyyyyyyyyyyy}}}",
		"a long literal":          "${E//x/" + strings.Repeat("y", 1<<20) + "}",
		"a long pattern":          "${B%" + strings.Repeat("*x", 10<<10) + "}",
		"an alternative":          "${NONE:-" + strings.Repeat("${A}", 20<<10) + "}",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		lex := newLex()
		_, err := lex.Word(word, env)
		runtime.ReadMemStats(&after)
		var tooLong *expand.TooLongError
		require.ErrorAs(t, err, &tooLong, name)
		require.Equal(t, err, lex.Err())
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), name)
	}
}

// Each word may be short enough, and all of them too long.
func TestTotal(t *testing.T) {
	lex := newLex()
	env := shell.EnvsFromSlice([]string{"A=" + strings.Repeat("x", 100<<10)})
	var err error
	words := 0
	for ; err == nil && words < 10_000; words++ {
		_, err = lex.Word("$A", env)
	}
	var tooLong *expand.TooLongError
	require.ErrorAs(t, err, &tooLong)
	require.Greater(t, words, 500)
	_, err = lex.Word("${UNSET}", env)
	require.Error(t, err, "what follows is refused, too")
	require.ErrorAs(t, lex.Err(), &tooLong)
}

func FuzzWord(f *testing.F) {
	for _, word := range []string{"$A", "${A//x/$B}", "${A%x*}", `"${A:-$B}"'$A'\$B`, "${A//x/${A//y/$B}}", "${A#"} {
		f.Add(word, "xyxy", "yx")
	}
	f.Fuzz(func(t *testing.T, word, a, b string) {
		env := shell.EnvsFromSlice([]string{"A=" + a, "B=" + b})
		got, err := newLex().Word(word, env)
		var tooLong *expand.TooLongError
		if errors.As(err, &tooLong) {
			return
		}
		want, wantErr := shell.NewLex('\\').ProcessWordWithMatches(word, env)
		require.Equal(t, wantErr == nil, err == nil)
		require.Equal(t, want, got)
	})
}
