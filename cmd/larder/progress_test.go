package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/cli/display"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// stockTree returns a folder of module proxy, and a tree that needs a module of it.
func stockTree(t *testing.T) (proxy, tree string) {
	proxy = t.TempDir()
	sums := testkit.Module{Path: "a.example/greet", Version: "v1.2.0"}.Write(t, proxy)
	return proxy, testkit.Tree(t, "-- go.mod --\nmodule example.com/app\n\ngo 1.26\n\nrequire a.example/greet v1.2.0\n-- go.sum --\n"+sums)
}

// larderOn starts larder with its standard error on a terminal.
func larderOn(t *testing.T, tty *os.File, proxy string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), testkit.Larder(t, "larder"), args...)
	cmd.Env = []string{"PATH=" + filepath.Dir(goCommand(t)), "HOME=" + t.TempDir(), "TERM=xterm", "GOPROXY=" + proxy, "GOSUMDB=off", "GOTOOLCHAIN=local"}
	cmd.Stderr = tty
	return cmd
}

func goCommand(t *testing.T) string {
	name, err := exec.LookPath("go")
	require.NoError(t, err)
	return name
}

// On a terminal one sees how far a bundle is while it is made, and nothing of that afterwards.
func TestProgressOnTerminal(t *testing.T) {
	folder, tree := stockTree(t)
	proxy := testkit.ServeProxy(t, folder)
	seen := make(chan struct{})
	proxy.Fail("v1.2.0.zip", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		<-seen
		next.ServeHTTP(w, r)
	})
	testkit.Toolchain(t, folder, toolchain)
	s := testkit.NewScreen(t, 60, 10)
	dir := filepath.Join(t.TempDir(), "bundle")
	cmd := larderOn(t, s.TTY, proxy.URL, "bundle", "create", "--no-sumdb", "-o", dir, tree)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for !strings.HasPrefix(s.See(), "get modules: 0 of 1, ") {
		require.NoError(t, t.Context().Err())
	}
	close(seen)
	printed := make([]byte, 4096)
	n, err := out.Read(printed)
	require.NoError(t, err)
	require.Contains(t, string(printed[:n]), dir+": sha256:")
	require.NoError(t, cmd.Wait())
	require.Empty(t, s.See())
}

// Who serves a bundle sees how much it was asked for, and a client can't write to the terminal.
func TestServeOnTerminal(t *testing.T) {
	folder, tree := stockTree(t)
	testkit.Toolchain(t, folder, toolchain)
	s := testkit.NewScreen(t, 60, 10)
	dir := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, larderOn(t, s.TTY, "file://"+folder, "bundle", "create", "--no-sumdb", "-o", dir, tree).Run())
	require.Empty(t, s.See())

	cmd := larderOn(t, s.TTY, "off", "bundle", "serve", "--listen", "127.0.0.1:0", dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	printed := make([]byte, 4096)
	n, err := out.Read(printed)
	require.NoError(t, err)
	url, _, _ := strings.Cut(strings.TrimPrefix(string(printed[:n]), "serving at "), "\n")
	for _, path := range []string{"/a.example/greet/@v/list", "/a.example/greet/@v/v1.2.0.zip", "/%1b%5b2J%1b%5d0;owned%07%0d%0aERROR:%20none"} {
		resp, err := http.Get(url + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	for !strings.HasPrefix(s.See(), "answer requests: 3, ") {
		require.NoError(t, t.Context().Err())
	}
	require.Regexp(t, `^answer requests: 3, [0-9.]+k?B, 1 not there, \S+\n  /\x{FFFD}\[2J\x{FFFD}\]0;owned\x{FFFD}  ERROR: none$`, s.See())
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait() // its exit code is that of a stopped command
	require.Equal(t, "", strings.TrimSpace(s.See()))
	require.NotContains(t, strings.ReplaceAll(s.Written(), "\x1b[K", ""), "\x1b[2J")
}

// progressTree are the folders whose code tells how far something is.
var progressTree = []string{"cmd/larder", "internal/audit", "internal/bundle", "internal/bundle/stock", "internal/proof/verify"}

// steps returns the names of steps that the code has. What isn't known before it runs is NAME.
func steps(t *testing.T) (names []string) {
	for _, dir := range progressTree {
		files, err := filepath.Glob(filepath.Join(testkit.Root(t), dir, "*.go"))
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			require.NoError(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) < 2 {
					return true
				}
				if fun, ok := call.Fun.(*ast.SelectorExpr); ok && strings.EqualFold(fun.Sel.Name, "begin") {
					names = append(names, stepName(call.Args[0])...)
				}
				return true
			})
		}
	}
	return names
}

func stepName(x ast.Expr) []string {
	switch x := x.(type) {
	case *ast.BasicLit:
		return []string{strings.Trim(x.Value, `"`)}
	case *ast.BinaryExpr:
		return []string{strings.Trim(x.X.(*ast.BasicLit).Value, `"`) + "NAME"}
	}
	return nil // passed on, or the name of an image
}

// What programs may rely on is in the reference: each field, each event and each step, and nothing else.
func TestProgressReference(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs/reference/progress.md"))
	require.NoError(t, err)
	_, text, _ = bytes.Cut(text, []byte("\n## JSON\n"))
	var have []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(text, -1) {
		have = append(have, string(row[1]))
	}
	var want []string
	for f := range reflect.TypeFor[display.Line]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		want = append(want, name)
	}
	want = append(want, "begin", "progress", "end", "warning", "note", "miss")
	require.ElementsMatch(t, append(want, steps(t)...), have)
	require.Contains(t, string(text), fmt.Sprintf("the version of this format, now %d.", display.Schema))
}
