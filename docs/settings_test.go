package docs

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite what is made from the code and from recorded data")

// A setting is a name by which users tell Larder something, other than by a flag.
type setting struct{ name, does, preset string }

// The kinds of settings, in the order of the table.
const (
	argument    = "build argument"
	both        = "build argument, environment of `larder`"
	environment = "environment of `larder`"
	context     = "named context"
	secret      = "secret"
	directive   = "comment in the file"
)

// settings are all settings, by their kind.
var settings = []struct {
	kind string
	list []setting
}{
	{argument, []setting{
		{"LARDER_OFFLINE", "1 refuses a build that would use a network ([how](../guides/offline-check.md))", "0"},
		{"LARDER_OFFLINE_ALLOW", "registries that LARDER_OFFLINE=1 lets a build ask, with commas between them", "none"},
		{"LARDER_MODULES", "a repository with images of modules and toolchains, as `larder bundle push` makes them ([how](../guides/monorepo.md#one-module-store-for-many-services))", "none"},
		{"LARDER_LAYERS", "1 makes layers of compiled packages, 0 makes none ([how](../explanation/how-it-works.md#compiled-packages))", "1 if the build's cache is imported, or exported by `larder build`"},
		{"LARDER_CA", "1 gives the secret `ca` to RUN lines with a network ([how](../guides/private-modules.md#the-authority-in-run-lines))", "0"},
		{"BUILDKIT_SYNTAX", "the frontend's image, in place of the file's `# syntax=` line", "that line"},
		{"BUILDKIT_INLINE_CACHE", "1 puts a cache into the image that `larder build` pushes", "0"},
		{"BUILDKIT_CACHE_MOUNT_NS", "a namespace for cache mounts, Larder's own too", "none"},
		{"GOVCS", "which version control may be used for which modules", "go's"},
		{"GOTOOLCHAIN", "the Go version", "go.mod's ([how](../explanation/how-it-works.md#toolchains))"},
		{"GOWORK", "`off`: no go.work counts", "the nearest go.work"},
		{"GOFLAGS", "flags for the go command", "none"},
		{"GOEXPERIMENT", "experiments of the toolchain", "none"},
		{"GODEBUG", "settings of Go's runtime for the go command", "none"},
		{"GOFIPS140", "the version of the FIPS 140 module", "off"},
		{"GO386", "the instruction set of 386", "go's"},
		{"GOAMD64", "the level of amd64, such as v3", "the platform's"},
		{"GOARM", "the version of arm, such as 7", "the platform's"},
		{"GOARM64", "the version of arm64, such as v9.0", "the platform's"},
		{"GOMIPS", "hardfloat or softfloat", "go's"},
		{"GOMIPS64", "hardfloat or softfloat", "go's"},
		{"GOPPC64", "the instruction set of ppc64, such as power9", "go's"},
		{"GORISCV64", "the profile of riscv64, such as rva22u64", "go's"},
		{"HTTP_PROXY", "the proxy for http, for steps with a network", "docker's configuration, with `larder build`"},
		{"HTTPS_PROXY", "the proxy for https", "the same"},
		{"FTP_PROXY", "the proxy for ftp", "the same"},
		{"ALL_PROXY", "the proxy for all protocols", "the same"},
		{"NO_PROXY", "hosts that no proxy is asked for", "the same"},
	}},
	{both, []setting{
		{"GOPROXY", "where modules and toolchains come from", "https://proxy.golang.org,direct"},
		{"GOPRIVATE", "patterns of modules that no proxy and no checksum database is asked for ([how](../guides/private-modules.md))", "none"},
		{"GONOPROXY", "patterns of modules that no proxy is asked for", "GOPRIVATE"},
		{"GONOSUMDB", "patterns of modules that no checksum database is asked for: `larder bundle create` asks it, a build doesn't", "GOPRIVATE"},
		{"GOSUMDB", "the checksum database that vouches for toolchains without a pin in Larder", "sum.golang.org"},
		{"GOINSECURE", "patterns of modules whose servers may be asked over http", "none"},
		{"CGO_ENABLED", "1 compiles with cgo, for GO lines; in the environment it is for `larder audit`", "0"},
		{"SOURCE_DATE_EPOCH", "the time of an image, a report or a signature, in seconds since 1970", "0 for an image without instructions; now for reports and signatures"},
	}},
	{environment, []setting{
		{"LARDER_BUNDLE_KEY", "public key, or a file that holds it, that must have signed a bundle: what `--key` is", "none"},
		{"LARDER_SERVE_PASSWORD", "the password that `larder bundle serve` asks for", "none"},
		{"LARDER_SERVE_TOKEN", "the token that `larder bundle serve` asks for", "none"},
		{"BUILDKIT_HOST", "the address of a BuildKit: what `--builder` is", "a running Docker engine, else the embedded builder"},
		{"BUILDKIT_PROGRESS", "what `--progress` of `larder build` is", "auto"},
		{"NO_COLOR", "no escape codes in the [progress](progress.md) of other commands, if it isn't empty", "none"},
		{"TERM", "the same, if it is dumb", "none"},
		{"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "the file of a [source policy](../guides/offline-check.md#a-second-proof)", "none"},
		{"DOCKER_HOST", "the address of the Docker engine", "docker's"},
		{"GOMODCACHE", "the module cache that `larder audit` and `larder bundle create` read", "the go command's"},
		{"GOOS", "the system that `larder audit` looks at", "this machine's"},
		{"GOARCH", "the architecture that `larder audit` looks at", "this machine's"},
		{"NETRC", "the file with logins for `larder bundle create`", "~/.netrc"},
		{"SSH_AUTH_SOCK", "the agent of `--ssh default`", "none"},
		{"SSL_CERT_FILE", "certificate authorities that this machine trusts", "the system's"},
		{"XDG_DATA_HOME", "the folder of the embedded builder's state, in larder/buildkit below it", "~/.local/share"},
		{"XDG_CACHE_HOME", "the folder of bundles that a build pulled, in larder/bundles below it", "~/.cache"},
		{"HOME", "where the two above begin if they are not set", ""},
		{"PATH", "where go, git and runc are", ""},
		{"TMPDIR", "the folder for temporary files", "/tmp"},
	}},
	{context, []setting{
		{"larder-modules", "a folder in GOPROXY layout, a module cache, or an image of one, with modules and perhaps toolchains", "fetched"},
		{"larder-toolchain", "the same with toolchains", "fetched"},
		{"larder-goproxy-N", "the folder of entry N of GOPROXY, if that is a file:// URL: `larder build` sends it", "none"},
		{"MODULE-PATH", "the folder of a module that a `replace` line has outside of the context ([how](../guides/monorepo.md#replace-to-a-folder-outside-of-the-context))", "none"},
	}},
	{secret, []setting{
		{"netrc", "logins for module proxies, git over https and HTTP proxies ([how](../guides/private-modules.md))", "none"},
		{"goauth", "headers for module proxies and git, as a GOAUTH command prints them", "none"},
		{"gitconfig", "git's configuration, for `insteadOf` and `extraHeader`", "none"},
		{"known_hosts", "host keys of git servers", "none: no server is trusted over ssh"},
		{"ca", "certificate authorities to trust besides the public ones, in PEM form", "with `larder build` this machine's"},
	}},
	{directive, []setting{
		{"larder:inject", "`off` leaves RUN lines as they are: at the head of the file all, else the next one", "on"},
		{"larder:slice", "`off` gives every GO line the whole context", "on"},
		{"larder:network", "`none` takes the network of RUN lines that only compile", "default"},
	}},
}

// inner are names that the code has for itself.
var inner = map[string]string{
	"LARDER_COMMIT": "how Larder tells its steps of the commit",
}

// TestSettings wants the table of all settings to be in the reference; with -update it is written there. What the code
// reads has to be in the table, and what is in the table has to be somewhere in the code.
func TestSettings(t *testing.T) {
	var table strings.Builder
	table.WriteString("\n| setting | kind | what it does | default |\n| --- | --- | --- | --- |\n")
	listed := map[string]bool{}
	for _, group := range settings {
		for _, s := range group.list {
			fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", s.name, group.kind, s.does, s.preset)
			require.False(t, listed[s.name], "%s is in the table twice", s.name)
			listed[s.name] = true
		}
	}
	table.WriteString("\n")
	golden(t, "docs/reference/settings.md", "<!-- settings -->\n", table.String(), "<!-- end of settings -->\n")

	read, text := namesInCode(t)
	require.Greater(t, len(read), 40)
	for _, name := range slices.Sorted(maps.Keys(read)) {
		_, ok := inner[name]
		require.True(t, ok || listed[name], "%s reads %s, which isn't in the table of settings", read[name], name)
	}
	for name := range listed {
		name = strings.TrimSuffix(name, "N")
		require.True(t, strings.Contains(text, name) || name == "MODULE-PATH", "%s is in the table of settings, and nowhere in the code", name)
	}
}

// golden wants text to stand between two lines of a file, or, with -update, writes it there.
func golden(t *testing.T, name, begin, text, end string) {
	file := filepath.Join(testkit.Root(t), filepath.FromSlash(name))
	old, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(old), begin)
	require.True(t, ok, "%s lacks %s", name, begin)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s lacks %s", name, end)
	want := before + begin + text + end + after
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(old), "go test ./docs -update")
}

var (
	ownName      = regexp.MustCompile(`^(EXPERIMENTAL_)?(LARDER|BUILDKIT)_[A-Z_]*[A-Z]$`)
	variableName = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)
	contextName  = regexp.MustCompile(`^larder-[a-z]+$`)
	// nameLists are variables of the code that list settings.
	nameLists = []string{"settings", "goVariables", "proxySettings", "fetchSecrets", "proxyArgs"}
)

// namesInCode returns the names of settings that the code reads, with the files that do, and the text of all files.
func namesInCode(t *testing.T) (names map[string]string, text string) {
	names = map[string]string{}
	root := os.DirFS(testkit.Root(t))
	for _, dir := range []string{"cmd/larder", "frontend", "internal", "llb"} {
		require.NoError(t, fs.WalkDir(root, dir, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testkit" || d.Name() == "testdata"):
				return fs.SkipDir
			case path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
				return nil
			}
			code, err := fs.ReadFile(root, name)
			require.NoError(t, err)
			text += string(code)
			file, err := parser.ParseFile(token.NewFileSet(), name, code, parser.SkipObjectResolution)
			require.NoError(t, err)
			for found := range namesIn(file, path.Dir(name)) {
				names[found] = name
			}
			return nil
		}))
	}
	return names, text
}

// namesIn returns the names that a file of a folder reads: of Larder's and BuildKit's own wherever they stand; of others
// where the environment of the command, or a build argument, is looked up, and in nameLists; and named contexts.
func namesIn(file *ast.File, dir string) map[string]bool {
	found := map[string]bool{}
	add := func(e ast.Expr, pattern *regexp.Regexp) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if name, err := strconv.Unquote(lit.Value); err == nil && pattern.MatchString(name) {
				found[name] = true
			}
		}
	}
	client := dir == "cmd/larder" || dir == "internal/builder" || dir == "internal/cli/request" || dir == "internal/audit"
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			add(n, ownName)
		case *ast.IndexExpr:
			if of := lastName(n.X); strings.EqualFold(of, "BuildArgs") || client && strings.EqualFold(of, "env") {
				add(n.Index, variableName)
			}
		case *ast.CallExpr:
			if of := lastName(n.Fun); client && (of == "Getenv" || of == "LookupEnv") {
				add(n.Args[0], variableName)
			}
		case *ast.ValueSpec:
			for i, value := range n.Values {
				if strings.HasSuffix(n.Names[i].Name, "Context") {
					add(value, contextName)
				}
				if list, ok := value.(*ast.CompositeLit); ok && slices.Contains(nameLists, n.Names[i].Name) {
					for _, e := range list.Elts {
						add(e, variableName)
						add(e, regexp.MustCompile(`^(netrc|goauth|gitconfig|known_hosts|ca)$`))
					}
				}
			}
		}
		return true
	})
	return found
}

// lastName returns the last name of an expression such as c.env.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
