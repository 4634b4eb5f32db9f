package shellgo

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A script to read, and what it is to be, in the notation of show: the calls by line, and the other commands.
type scriptTest struct {
	name, src string
	calls     string
	others    string
}

// show is a call in short: its arguments, those that aren't literal in <>, its folder, variables (?X is unknown), and
// whether it is bare.
func show(c Call) string {
	var b strings.Builder
	b.WriteString("go")
	for _, a := range c.Args {
		if a.Literal {
			b.WriteString(" " + a.Text)
		} else {
			b.WriteString(" <" + a.Text + ">")
		}
	}
	if !c.DirKnown {
		b.WriteString(" in ?" + c.Dir)
	} else if c.Dir != "" {
		b.WriteString(" in " + c.Dir)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		b.WriteString(" " + name + "=" + c.Env[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Unknown)) {
		b.WriteString(" ?" + name)
	}
	if c.Bare {
		b.WriteString(" bare")
	}
	return b.String()
}

// Variables that the script hands on to the call under another name.
func TestFrom(t *testing.T) {
	for src, want := range map[string]map[string]string{
		"GOOS=$TARGETOS GOARCH=${TARGETARCH} go build":           {"GOOS": "TARGETOS", "GOARCH": "TARGETARCH"},
		`env GOARCH="$TARGETARCH" go build`:                      {"GOARCH": "TARGETARCH"},
		"export GOARCH=$TARGETARCH; go build":                    {"GOARCH": "TARGETARCH"},
		"export GOARCH=$TARGETARCH && sh -c 'go build'":          {"GOARCH": "TARGETARCH"},
		"GOARCH=$TARGETARCH; go build":                           nil, // not exported
		"GOARCH=x$TARGETARCH go build":                           nil,
		"GOARCH=${TARGETARCH}x go build":                         nil,
		"GOARCH=$A$B go build":                                   nil,
		"GOARM=${TARGETVARIANT#v} go build":                      nil,
		"GOARCH=${TARGETARCH:-arm64} go build":                   nil,
		"GOARCH=$(uname -m) go build":                            nil,
		"TARGETARCH=arm64; GOARCH=$TARGETARCH go build":          nil,
		"if x; then export GOARCH=$TARGETARCH; fi; go build":     nil,
		"export GOARCH=$TARGETARCH; GOARCH=arm64 go build":       nil,
		"export GOARCH=$TARGETARCH; unset GOARCH; go build":      nil,
		"if x; then TARGETARCH=a; fi; GOARCH=$TARGETARCH go run": nil,
	} {
		for _, posix := range []bool{true, false} {
			s, err := Parse(src, posix)
			require.NoError(t, err)
			require.Len(t, s.Calls, 1, src)
			require.Equal(t, want, s.Calls[0].From, src)
		}
	}
}

func showAll(s Script) string {
	var lines []string
	for _, c := range s.Calls {
		lines = append(lines, show(c))
	}
	return strings.Join(lines, "\n")
}

func runScripts(t *testing.T, posix bool, tests []scriptTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse(tt.src, posix)
			require.NoError(t, err)
			require.Equal(t, tt.calls, showAll(s))
			require.Equal(t, tt.others, strings.Join(s.Others, " "))
		})
	}
}

func TestCommands(t *testing.T) {
	runScripts(t, true, []scriptTest{
		{"nothing", "", "", ""},
		{"comment", "# go build", "", ""},
		{"plain", "go build ./...", "go build ./... bare", ""},
		{"no arguments", "go", "go bare", ""},
		{"single quotes", "'go' build", "go build bare", ""},
		{"double quotes", `"go" "build"`, "go build bare", ""},
		{"backslash", `g\o build`, "go build bare", ""},
		{"continued line", "go build \\\n\t-o /out \\\n\t./cmd/x", "go build -o /out ./cmd/x bare", ""},
		{"continued word", "g\\\no build", "go build bare", ""},
		{"absolute", "/usr/local/go/bin/go version", "go version bare", ""},
		{"below GOROOT", "$GOROOT/bin/go version", "go version bare", ""},
		{"below GOROOT in quotes", `"${GOROOT}/bin/go" version`, "go version bare", ""},
		{"below home", "~/sdk/go1.26/bin/go version", "go version bare", ""},
		{"below a substitution", `"$(go env GOROOT)"/bin/go version`, "go version bare\ngo env GOROOT", ""},
		{"only a substitution", "$(which go) version", "", "$(which go) which"},
		{"only a variable", "$GO build", "", "$GO"},
		{"another tool's folder", "/opt/go-tool build", "", "/opt/go-tool"},
		{"echo", "echo go build", "", "echo"},
		{"in quotes", `echo "go build" 'go vet'`, "", "echo"},
		{"gofmt", "gofmt -l .", "", "gofmt"},
		{"gotestsum", "gotestsum -- ./...", "", "gotestsum"},
		{"cargo", "cargo build", "", "cargo"},
		{"which", "which go", "", "which"},
		{"command -v", "command -v go", "", "command"},
		{"alias", "alias g='go build'", "", "alias"},
		{"here-document", "cat <<EOF | sh\ngo build\nEOF", "", "cat sh"},
		{"substitution in a here-document", "cat <<EOF\n$(go version)\nEOF", "go version", "cat"},
		{"quoted here-document", "cat <<'EOF'\n$(go version)\nEOF", "", "cat"},
		{"quoted flags", `go build -ldflags="-s -w -X main.v=${V}" -tags 'a b'`,
			`go build <-ldflags="-s -w -X main.v=${V}"> -tags a b bare`, ""},
		{"escapes in quotes", `go run . "a\"b\c" '\d' e\ f ""`, `go run . a"b\c \d e f  bare`, ""},
		{"pattern", "go vet ./cmd/* ./[ab] '*' a[", "go vet <./cmd/*> <./[ab]> * a[ bare", ""},
		{"home", "go build -o ~/bin/x", "go build -o <~/bin/x> bare", ""},
		{"braces of sh", "go vet ./{a,b}", "go vet ./{a,b} bare", ""},
		{"others in order, each once", "b; ./a.sh; $(x) y; b; set -ex; [ 1 = 1 ]; /usr/bin/make", "", "b ./a.sh $(x) x set [ /usr/bin/make"},
		{"syntax of another shell in quotes", `echo "a[("`, "", "echo"},
	})
}

func TestDockerfiles(t *testing.T) {
	runScripts(t, true, []scriptTest{
		{"release build", `CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=$TARGETARCH go build -ldflags="-s -w -X main.v=${V}" -o /out/ ./cmd/...`,
			`go build <-ldflags="-s -w -X main.v=${V}"> -o /out/ ./cmd/... CGO_ENABLED=0 ?GOARCH ?GOOS bare`, ""},
		{"download and verify", "go mod download && go mod verify", "go mod download bare\ngo mod verify bare", ""},
		{"list with tabs", "set -eux; \\\n\tapk add --no-cache git; \\\n\tcd /src; \\\n\tgo mod download; \\\n\tgo build -o /app .",
			"go mod download in /src bare\ngo build -o /app . in /src bare", "set apk cd"},
		{"joined by &&", "apt-get update && \\\n\tapt-get install -y git && \\\n\trm -rf /var/lib/apt/lists/* && \\\n\tgo get ./...",
			"go get ./... bare", "apt-get rm"},
		{"with comments", "set -e\n# build it\ngo build ./... # all\n", "go build ./... bare", "set"},
		{"loop over commands", "for CMD in a b; do go build -o /bin/$CMD ./cmd/$CMD; done",
			"go build -o </bin/$CMD> <./cmd/$CMD> ?CMD bare", ""},
		{"condition", `if [ "$X" = 1 ]; then go test ./...; fi`, "go test ./... bare", "["},
		{"tee", "go build 2>&1 | tee log", "go build", "tee"},
		{"format check", `test -z "$(gofmt -l .)"`, "", "test gofmt"},
		{"xargs", "go list ./... | xargs go vet", "go list ./...\ngo vet <$@>", ""},
		{"xargs with flags", "go list ./... | grep -v vendor | xargs -r -n 1 -P4 go test -v", "go list ./...\ngo test -v <$@>", "grep"},
		{"xargs in place", "cat tools | xargs -I % go install %", "go install <%> <$@>", "cat"},
		{"xargs with sh", "ls | xargs -I{} sh -c 'go vet ./x'", "go vet ./x", "ls"},
		{"tools", `cat tools.go | grep _ | awk -F'"' '{print $2}' | xargs -tI % go install %`, "go install % <$@>", "cat grep awk"},
		{"find", `find . -name go.mod -execdir go mod tidy \; -exec rm {} +`, "go mod tidy in ?", "find rm"},
		{"find with sh", `find cmd -type d -exec sh -c 'go build "$1"' _ {} \;`, `go build <"$1">`, "find"},
		{"git describe", "V=$(git describe) && go build -ldflags=-X=main.v=$V .", "go build <-ldflags=-X=main.v=$V> . ?V bare", "git"},
		{"coverage", "go test -coverprofile=c.out ./... && go tool cover -func=c.out | tail -1",
			"go test -coverprofile=c.out ./... bare\ngo tool cover -func=c.out", "tail"},
		{"which architecture", `case "$TARGETARCH" in arm) export GOARM=7;; *) ;; esac; go build`, "go build ?GOARM bare", "export"},
		{"may fail", "go mod download || true", "go mod download bare", "true"},
		{"or exit", "go vet ./... || exit 1", "go vet ./... bare", "exit"},
		{"unpack and build", "curl -L https://x | tar xz && cd x-1 && ./configure && go install ./... && rm -rf /x",
			"go install ./... in x-1 bare", "curl tar cd ./configure rm"},
		{"private modules", `git config --global url."git@x:".insteadOf https://x && GOPRIVATE=x go mod download`,
			"go mod download GOPRIVATE=x bare", "git"},
		{"make", "make build", "", "make"},
		{"several modules", "(cd a && go mod download) && (cd b && go mod download)",
			"go mod download in a bare\ngo mod download in b bare", "cd"},
		{"folders in a loop", "for d in a b; do (cd $d && go build); done", "go build in ? ?d bare", "cd"},
		{"modules in a loop", "for d in a b; do cd /src/$d; go build; done; go vet", "go build in ? ?d bare\ngo vet in ? ?d bare", "cd"},
		{"caches", "go clean -cache -modcache; rm -rf /root/.cache", "go clean -cache -modcache bare", "rm"},
		{"version from a file", "export GO_VERSION=$(cat v) CGO_ENABLED=1 && go build", "go build CGO_ENABLED=1 ?GO_VERSION bare", "export cat"},
	})
}

func TestEnvironment(t *testing.T) {
	runScripts(t, true, []scriptTest{
		{"assignment", "GOOS=linux go build; go vet", "go build GOOS=linux bare\ngo vet bare", ""},
		{"empty", "GOFLAGS= go build", "go build GOFLAGS= bare", ""},
		{"quoted", `GOFLAGS="-a -b" X='c' go build`, "go build GOFLAGS=-a -b X=c bare", ""},
		{"env", "env GOOS=linux GOARCH=arm64 go build", "go build GOARCH=arm64 GOOS=linux bare", ""},
		{"env with a variable", `env "GOOS=$X" go build`, "go build ?GOOS bare", ""},
		{"env -u", "env -u GOFLAGS --unset=A -- B=1 go build", "", "env"},
		{"env alone", "env", "", "env"},
		{"env that splits", "env -S 'go build'", "", "env"},
		{"env in a folder", "env -C /src go build", "", "env"},
		{"export", "export A=1 && B=2 go build", "go build A=1 B=2 bare", "export"},
		{"export later", "A=1; export A; go build", "go build A=1 bare", "export"},
		{"export of two", "export A=1 B='2 3'; go build", "go build A=1 B=2 3 bare", "export"},
		{"without export", "A=1; go build", "go build ?A bare", ""},
		{"export of the environment's", "export A; go build", "go build bare", "export"},
		{"not exported any more", "export A=1; export -n A; go build", "go build ?A bare", "export"},
		{"set again", "export A=1; A=2; go build", "go build A=2 bare", "export"},
		{"of another", "D=/go; export GOPATH=$D/path; go build", "go build GOPATH=/go/path ?D bare", "export"},
		{"of the environment", "export PATH=$PATH:/go/bin; go build", "go build ?PATH bare", "export"},
		{"unset", "export A=1; unset A; go build", "go build ?A bare", "export unset"},
		{"in a subshell", "(export A=1; go build); go vet", "go build A=1 bare\ngo vet bare", "export"},
		{"in braces", "{ export A=1; }; go vet", "go vet A=1 bare", "export"},
		{"in a condition", "if x; then export A=1; go build; fi; go vet", "go build A=1 bare\ngo vet ?A bare", "x export"},
		{"same on all ways", "if x; then export A=1; else export A=1; fi; go vet", "go vet A=1 bare", "x export"},
		{"other ways end", "if x; then export A=1; else exit 1; fi; go vet", "go vet A=1 bare", "x export exit"},
		{"after a test", `[ -n "$X" ] && export A=1; go vet`, "go vet ?A bare", "[ export"},
		{"default", `: "${A:=1}"; export B=${B:-2}; go build`, "go build ?A ?B bare", ": export"},
		{"later turns of a loop", "while x; do go build; export A=1; done", "go build ?A bare", "x export"},
		{"in one turn of a loop", "for i in 1 2; do CGO_ENABLED=0 go build; done", "go build CGO_ENABLED=0 ?i bare", ""},
		{"read", "read A; go build", "go build ?A bare", "read"},
		{"variables of all ways", "set -a; A=1; go build", "go build ?A bare", "set"},
		{"through sh", "export A=1; B=2; C=3 sh -c 'go build'", "go build A=1 C=3 ?B", "export"},
	})
	for _, src := range []string{". ./env; go build", "sudo go build", "export $(cat .env); go build"} {
		s, err := Parse("export A=1; "+src, true)
		require.NoError(t, err, src)
		require.Empty(t, s.Calls[0].Env, src)
		require.Subset(t, slices.Collect(maps.Keys(s.Calls[0].Unknown)), []string{"A", "GOFLAGS", "HOME"}, src)
	}
}

func TestFolders(t *testing.T) {
	runScripts(t, true, []scriptTest{
		{"relative", "cd a && go build", "go build in a bare", "cd"},
		{"nested", "cd a && cd b/ && go build", "go build in a/b bare", "cd"},
		{"back", "cd a && cd .. && go build", "go build bare", "cd"},
		{"above", "cd .. && go build", "go build in .. bare", "cd"},
		{"absolute", "cd a; cd /b/../c; go build", "go build in /c bare", "cd"},
		{"flags", "cd -P -- a && go build", "go build in a bare", "cd"},
		{"quoted", `cd "a b" && go build`, "go build in a b bare", "cd"},
		{"variable", `cd "$X" && go build`, "go build in ? bare", "cd"},
		{"variable of the script", `D=/src; cd $D/x && go build`, "go build in /src/x ?D bare", "cd"},
		{"home", "cd && go build", "go build in ? bare", "cd"},
		{"last one", "cd a && cd - && go build", "go build in ? bare", "cd"},
		{"known again", "cd $X; cd /src; go build", "go build in /src bare", "cd"},
		{"subshell", "(cd a); go build", "go build bare", "cd"},
		{"pipe", "cd a | go build", "go build", "cd"},
		{"substitution", `X=$(cd a; go env X); go build`, "go env X in a\ngo build ?X bare", "cd"},
		{"may have happened", "if x; then cd a; go build; fi; go vet", "go build in a bare\ngo vet in ? bare", "x cd"},
		{"after or", "cd a || cd b; go build", "go build in ? bare", "cd"},
		{"or exit", "cd a || exit 1; go build", "go build in a bare", "cd exit"},
		{"in a case", "case $X in a) cd a;; esac; go build", "go build in ? bare", "cd"},
		{"in the background", "cd a & go build", "go build bare", "cd"},
		{"by a command", "command cd a && go build", "go build in a bare", "cd"},
		{"not by a program", "env cd a; go build", "go build bare", "cd"},
		{"-C", "go -C a build", "go build in a bare", ""},
		{"-C of a subcommand", "cd /x; go build -C=a -v; go mod download -C b; go mod -C c verify",
			"go build -v in /x/a bare\ngo mod download in /x/b bare\ngo mod verify in /x/c bare", "cd"},
		{"-C by a variable", `go -C "$X" build`, "go build in ? bare", ""},
		{"-C not first", "go build -v -C a; go run . -C b; go vet x -C c", "go build -v -C a bare\ngo run . -C b bare\ngo vet x -C c bare", ""},
		{"-C of nothing", "go build -C", "go build -C bare", ""},
		{"until", "until go build; do cd ..; done", "go build in ?", "cd"},
	})
}

func TestAround(t *testing.T) {
	runScripts(t, true, []scriptTest{
		{"wrappers", "time go vet; nice -n 5 go vet; nice go vet; nohup go vet; timeout -k 5 1m go vet; command go vet",
			strings.Repeat("go vet bare\n", 5) + "go vet bare", ""},
		{"wrappers of others", "nice -n 5 make; time -p ls", "", "make ls"},
		{"sudo -E", "sudo -E -u build A=1 go vet", "go vet A=1 ?HOME bare", ""},
		{"exec", "exec go run .", "go run .", ""},
		{"after exec", "cd a; x || exec y; go vet", "go vet in a bare", "cd x y"},
		{"exec of nothing", "exec 2>&1; go vet", "go vet bare", "exec"},
		{"many", "env A=1 nice timeout 5 sudo -E go vet", "go vet A=1 ?HOME bare", ""},
		{"to nowhere", "go vet >/dev/null 2>&1", "go vet bare", ""},
		{"to a file", "go vet >log; go list 2>err; go list >>log", "go vet\ngo list\ngo list", ""},
		{"from a file", "go run . <in", "go run .", ""},
		{"group to a file", "{ go vet; go list; } >log", "go vet\ngo list", ""},
		{"group in a pipe", "(go vet) | cat", "go vet", "cat"},
		{"condition", "if go vet; then go build; elif go list; then :; else go fix; fi",
			"go vet\ngo build bare\ngo list\ngo fix bare", ":"},
		{"while", "while go vet; do go build; done", "go vet\ngo build bare", ""},
		{"negated", "! go vet", "go vet", ""},
		{"background", "go vet & { go list; } & wait", "go vet\ngo list", "wait"},
		{"backquotes", "x `go env GOPATH`", "go env GOPATH", "x"},
		{"in quotes", `x "a $(go env GOPATH) b"`, "go env GOPATH", "x"},
		{"default of a variable", `x ${Y:-$(go env GOPATH)}`, "go env GOPATH", "x"},
		{"arguments of a call", "go test $(go list ./...)", "go test <$(go list ./...)> bare\ngo list ./...", ""},
		{"redirection", "x >$(go env GOPATH)/log", "go env GOPATH", "x"},
		{"sh -c", "sh -ec 'cd a && go vet'", "go vet in a", "cd"},
		{"bash", `/bin/bash -euo pipefail -c "go vet | cat"`, "go vet", "cat"},
		{"script of a variable", `sh -c "go build $X"`, "", "sh"},
		{"file", "sh build.sh -c 'go vet'", "", "sh"},
		{"script that can't be read", "sh -c 'go vet ('", "", "sh"},
		{"nested scripts", `sh -c "bash -c 'go vet'"`, "go vet", ""},
		{"leaves no trace", "sh -c 'cd a; export A=1; exit'; go vet", "go vet bare", "cd export exit"},
		{"falls through", "case $X in a) go vet;; b|c) go list;; esac", "go vet bare\ngo list bare", ""},
	})
}

func TestBash(t *testing.T) {
	runScripts(t, false, []scriptTest{
		{"export", `export A=1 B=$X C; D=2; export D; go build`, "go build A=1 D=2 ?B bare", "export"},
		{"declare", "declare -x A=1; declare B=2; go build", "go build A=1 ?B bare", "declare"},
		{"append", "export A=1; A+=2; go build", "go build A=12 bare", "export"},
		{"array", `tags=(a b); go build -tags "${tags[*]}"`, `go build -tags <"${tags[*]}"> ?tags bare`, ""},
		{"braces", "go vet ./{a,b}/...", "go vet <./{a,b}/...> bare", ""},
		{"time", "time go vet", "go vet bare", ""},
		{"process substitution", "diff <(go list) x", "go list", "diff"},
		{"test", `[[ "$(go version)" == *1.26* ]] && go vet`, "go version\ngo vet bare", "[["},
		{"both outputs", "go vet &>/dev/null; go list &>log", "go vet bare\ngo list", ""},
		{"pipe of both", "go vet |& tee log", "go vet", "tee"},
		{"here-string", "go run . <<<x", "go run .", ""},
		{"pushd", "pushd a; go vet; popd; go list", "go vet in a bare\ngo list in ? bare", "pushd popd"},
		{"pipefail", "set -o pipefail && go vet", "go vet bare", "set"},
		{"quotes with escapes", `go run . $'a\tb' $"c" $'d'`, `go run . <$'a\tb'> c d bare`, ""},
		{"arithmetic", "for ((i=0; i<3; i++)); do go vet; done; ((x)); let y=1", "go vet bare", "let"},
		{"loop over an array", `for x in "${a[@]}"; do go build "$x"; done`, `go build <"$x"> ?x bare`, ""},
	})
}
