package shellgo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The calls' text is what a caller replaces.
func TestOffsets(t *testing.T) {
	for _, tt := range []struct{ src, spans string }{
		{"go build", "go build"},
		{"  go  build  ; ls", "go  build"},
		{"GOOS=linux A='b c' go build ./...", "go build ./..."},
		{"env A=b go vet && x", "env A=b go vet"},
		{"nice -n 5 go vet|x", "nice -n 5 go vet"},
		{"go mod download >/dev/null 2>&1;x", "go mod download >/dev/null 2>&1"},
		{">/dev/null go vet # all", "go vet"},
		{"go vet >/dev/null ./...", "go vet >/dev/null ./..."},
		{"go run . <<EOF && x\ngo vet\nEOF\n", "go run . <<EOF"},
		{"set -e; \\\n\tgo mod \\\n\t\tdownload; \\\n\tx", "go mod \\\n\t\tdownload"},
		{"go test $(go list ./...) -v", "go test $(go list ./...) -v|go list ./..."},
		{"x `go env GOPATH`/y", "go env GOPATH"},
		{"x \"`go env \\\"A\\\"`\"", "go env \\\"A\\\""},
		{"A=1 sh -c 'x; go vet' y; go vet", "sh -c 'x; go vet' y|go vet"},
		{"ls | xargs -n1 go vet >/dev/null", "xargs -n1 go vet >/dev/null"},
		{"(go vet)", "go vet"},
		{"{ go vet; }", "go vet"},
		{"echo 'ä€'; go run 'ö'; x", "go run 'ö'"},
		{"if go vet; then go list; fi", "go vet|go list"},
		{"! go vet &", "go vet"},
	} {
		s, err := Parse(tt.src, true)
		require.NoError(t, err, tt.src)
		var spans []string
		for _, c := range s.Calls {
			spans = append(spans, tt.src[c.Start:c.End])
		}
		require.Equal(t, tt.spans, strings.Join(spans, "|"), tt.src)
	}
	s, err := Parse("time go vet", false)
	require.NoError(t, err)
	require.Equal(t, 5, s.Calls[0].Start)
}

// What isn't followed is left alone, wherever it is in a script: no call of it is found, and none is lost without a word.
func TestNotFollowed(t *testing.T) {
	for _, src := range []string{
		"f() { :; }", "go build; f() { go vet; }; f", "if x; then f() { :; }; fi", "go() { true; }; go build", "() go vet", "$(f() { :; })",
		"eval 'go vet'", `eval "$X"; go build`, "A=1 eval go vet", "command eval go vet", "if eval go vet; then go build; fi", "x=$(eval go vet)",
	} {
		for _, posix := range []bool{true, false} {
			s, err := Parse(src, posix)
			require.Error(t, err, src)
			require.Equal(t, Script{}, s, src)
		}
	}
	for _, src := range []string{"coproc go vet", "select x in a; do go vet; done", "function f { go vet; }"} {
		_, err := Parse(src, false)
		require.ErrorIs(t, err, errNotFollowed, src)
	}
	// In a word it is the shell that is left alone.
	s, err := Parse("sh -c 'f() { go vet; }; f'", true)
	require.NoError(t, err)
	require.Empty(t, s.Calls)
	require.Equal(t, []string{"sh"}, s.Others)
	_, err = Parse("sh -c 'eval go vet'", true)
	require.ErrorIs(t, err, errNotFollowed)
}

func TestSyntaxErrors(t *testing.T) {
	for _, src := range []string{
		"go build (", "go build 'a", `go build "a`, "if x; then go build", "go build &&", "go build; }", "for; do go build; done",
		"x=(a b); go build", "diff <(go list) y", "$(go build", "`go build", "cat <<EOF\n$(go build\nEOF",
	} {
		_, err := Parse(src, true)
		require.Error(t, err, src)
	}
	_, err := Parse("Get-Item C:\\go | ForEach-Object { go build }; if ($x) { go vet }", false)
	require.Error(t, err)
	s, err := Parse(`C:\go\bin\go.exe build && go build .\cmd`, true)
	require.NoError(t, err)
	require.Equal(t, []string{"C:gobingo.exe"}, s.Others)
	require.Equal(t, "go build .cmd bare", showAll(s))
}

func TestExec(t *testing.T) {
	for _, tt := range []struct {
		words         []string
		calls, others string
	}{
		{nil, "", ""},
		{[]string{""}, "", ""},
		{[]string{"go", "build", "$X", "*"}, "go build $X * bare", ""},
		{[]string{"/usr/local/go/bin/go", "mod", "download"}, "go mod download bare", ""},
		{[]string{"env", "A=b", "go", "build", "-C", "x"}, "go build in x A=b bare", ""},
		{[]string{"A=b", "go", "build"}, "", "A=b"},
		{[]string{"cd", "a"}, "", "cd"},
		{[]string{"make", "go"}, "", "make"},
		{[]string{"sh", "-c", "go mod download"}, "go mod download bare", ""},
		{[]string{"/bin/bash", "-lc", "cd a && go build"}, "go build in a", "cd"},
		{[]string{"sh", "-c", "go vet; go list"}, "go vet\ngo list", ""},
		{[]string{"sh", "-c", "go vet >log"}, "go vet", ""},
		{[]string{"env", "A=b", "sh", "-ec", "go vet"}, "go vet A=b bare", ""},
		{[]string{"sh", "-c", "go vet ("}, "", "sh"},
		{[]string{"bash", "-c", "x=(a); go vet"}, "go vet ?x bare", ""},
		{[]string{"sh", "-c", "x=(a); go vet"}, "", "sh"},
		{[]string{"xargs", "go", "vet"}, "go vet <$@>", ""},
	} {
		s := Exec(tt.words)
		require.Equal(t, tt.calls, showAll(s), tt.words)
		require.Equal(t, tt.others, strings.Join(s.Others, " "), tt.words)
		for _, c := range s.Calls {
			require.Zero(t, c.Start+c.End, tt.words)
		}
	}
	s := Exec([]string{"env", strings.Repeat("a", maxSource), "go"})
	require.Equal(t, []string{"env"}, s.Others)
}

// What is too much is an error, and takes no long time.
func TestLimits(t *testing.T) {
	many := func(f string) string {
		var b strings.Builder
		for i := 0; b.Len() < maxSource-len(f)-10; i++ {
			fmt.Fprintf(&b, f, i)
		}
		return b.String()
	}
	nested := func(open, inner, end string) string {
		n := min(maxDepth*3/4, maxSource*3/4/len(open+end))
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	body := many("a%d=;")[:maxSource/2]
	body = body[:strings.LastIndex(body, ";")+1]
	for name, src := range map[string]string{
		"size":            strings.Repeat(" ", maxSource+1),
		"calls":           many("go x%d\n"),
		"subshells":       strings.Repeat("(", 5000) + "a" + strings.Repeat(")", 5000),
		"open":            strings.Repeat("(", maxSource),
		"substitutions":   strings.Repeat("$(", maxSource/2),
		"arithmetic":      strings.Repeat("((", maxSource/2),
		"else":            "if a; then b; " + strings.Repeat("elif a; then b; ", 1000) + "fi",
		"variables":       many("a%d=;"),
		"merges":          many("x||a%d=;"),
		"exports":         many("export a%d=;go\n"),
		"loops":           nested("for i in a;do ", body, "done;"),
		"functions":       many("f%d(){ go;};"),
		"function calls":  "f(){ " + body + "};" + strings.Repeat("f;", maxSource/5),
		"list":            many("a%d&&") + "go",
		"wrappers":        strings.Repeat("xargs ", maxSource/6),
		"finds":           strings.Repeat("find -exec ", maxSource/11),
		"nested branches": nested("if a;then b=;else ", body, "fi;"),
		"nested defaults": nested("${a:-$(", body, ")}"),
	} {
		t.Run(name, func(t *testing.T) {
			// What takes too long ends at the limit of the whole test run.
			start := time.Now()
			_, err := Parse(src, false)
			t.Log(time.Since(start), err)
		})
	}
	_, err := Parse(strings.Repeat(" ", maxSource+1), true)
	require.ErrorIs(t, err, errTooBig)
	_, err = Parse(strings.Repeat("{ ", maxDepth+1)+"go;"+strings.Repeat("};", maxDepth+1), true)
	require.ErrorIs(t, err, errTooBig)
	s, err := Parse(many("a%d&&")+"go", true)
	require.NoError(t, err)
	require.Len(t, s.Calls, 1)
}

func FuzzParse(f *testing.F) {
	for _, src := range []string{
		"", "go build", "GOOS=linux go build -C x -o /out ./...", "cd a && (export A=1 B=$X; go vet) | tee x & ! go list",
		"for i in a b; do while x; do go vet; done; done; until y; do :; done", "f() { local a=$1; go \"$@\"; }; f x || exit",
		"if a; then b; elif c; then d; else e; fi", "case $a in b|c) go x;& d) ;; esac", "sh -c 'eval \"go vet\"; env -u A -C b go list'",
		"find . -exec go vet {} \\; | xargs -I{} -n 1 timeout -k 1 5 go list {}", "a=(b [c]=d); a+=e; declare -x b; [[ $a == b ]] && ((a++))",
		"go run . <<-EOF >/dev/null 2>&1\n\t$(go env `go x`)\n\tEOF\n", "set -- $'a\\n' $\"b\" ${a:=b} ${!a} ${a[1]} {a,b} ~/c; read a <<<b",
		"coproc go x; time -p go y; select a in b; do go z; done; let a=1", "{fd}>x go build; go 2>&1- >&2", "sudo -E A=b nice -n5 command exec go",
	} {
		f.Add(src, true)
		f.Add(src, false)
	}
	f.Fuzz(func(t *testing.T, src string, posix bool) {
		Exec(strings.Fields(src))
		Exec([]string{"sh", "-c", src})
		s, err := Parse(src, posix)
		if err != nil {
			require.Zero(t, s)
		}
		for _, c := range s.Calls {
			require.True(t, 0 <= c.Start && c.Start < c.End && c.End <= len(src), "%d %d", c.Start, c.End)
			for name := range c.Env {
				require.False(t, c.Unknown[name], name)
			}
			require.True(t, c.DirKnown || c.Dir == "", c.Dir)
		}
	})
}
