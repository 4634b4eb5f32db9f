package planner

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/planner/shellgo"
	"github.com/larder-build/larder/internal/expand"
)

// This file says what commands other than go may do to a Go module and to the caches of the go command. A command that
// it doesn't know may do anything.

// local are commands that need no network.
var local = wordSet(`. : [ [[ basename break cat cd chmod chown command continue cp cut date df dirname du echo env
	exit export expr false file find gofmt grep gunzip gzip head hostname id install ldd let ln local ls md5sum mkdir mktemp
	mv nproc od pwd printf read readelf readlink readonly realpath return rm rmdir sed seq set sha256sum sha512sum shift
	shopt size sleep sort source stat strings strip sync tail tar tee test time touch tr trap true tty type ulimit umask
	uname uniq unset unxz upx wait wc which whoami xargs xz yes`)

// harmless are commands that neither read nor change modules, unless an argument names a module's file.
var harmless = wordSet(`: [ [[ add-apt-repository addgroup adduser apk apt apt-cache apt-get apt-key apt-mark awk
	ar as base64 basename break bunzip2 bzip2 c++ cat cc cd chgrp chmod chown clang clang++ cmp command continue curl cut date
	deluser df diff dirname dnf dpkg dpkg-query du echo egrep env exit export expr false fgrep file g++ gcc getcap getconf
	getent gofmt gpg gpgconf grep groupadd groupmod gunzip gzip head hostname id jq ld ldconfig ldd let ln local locale-gen
	ls md5sum microdnf mkdir mktemp nproc od openssl passwd pkg-config pwd printf read readelf readlink readonly realpath
	return rm rmdir rpm sed seq set setcap sha1sum sha256sum sha512sum shift shopt size sleep sort stat strings strip
	sync tail tdnf tee test time touch tr trap true truncate tty type ulimit umask uname uniq unset unxz
	update-alternatives update-ca-certificates upx useradd usermod wait wc wget which whoami xargs xx-apk xx-apt
	xx-apt-get xx-cc xx-clang xx-go xx-info xx-verify xz yes yum zypper`)

// copying are commands that copy files between any folders that their arguments name.
var copying = wordSet(`bsdtar cp cpio dd find git install mv patch rsync tar unzip zip`)

// generators are commands that read packages through the go command, and don't change go.mod.
var generators = wordSet(`buf counterfeiter garble ginkgo gofumpt goimports golangci-lint golint gosec gotestsum govulncheck
	mockery mockgen nilaway oapi-codegen protoc revive sqlc staticcheck stringer swag templ wire`)

// mayCallGo are commands that call go, or that call other commands.
var mayCallGo = wordSet(`air ash bash bazel buf busybox cmake counterfeiter dash dlv earthly entr garble gofumpt goimports
	golangci-lint golint gomock gopls gore goreleaser gosec gotestsum govulncheck gox just ko mage make meson mise mockery
	mockgen ninja nilaway oapi-codegen perl protoc python python3 reflex revive rye sh sqlc staticcheck stringer su sudo
	swag task templ wails wire xcaddy zsh`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// mayUseModules reports whether a command may call go where the planner doesn't see it, as a build tool or a script
// does.
func mayUseModules(name string) bool {
	switch {
	case strings.ContainsAny(name, "$`{"):
		return true
	case strings.Contains(name, "/"):
		return !inSystem(name) || mayCallGo[path.Base(name)]
	}
	return mayCallGo[name] || strings.HasSuffix(name, ".sh")
}

// showsItself reports whether a command only prints its version or its usage, as people test a program that they just
// built.
func showsItself(c shellgo.Command) bool {
	return len(c.Args) == 1 && slices.Contains([]string{"--version", "-version", "--help", "-help"}, c.Args[0].Text)
}

// inSystem reports whether a command's path is in one of the system's own folders.
func inSystem(name string) bool {
	return slices.Contains([]string{"/bin", "/usr/bin", "/sbin", "/usr/sbin"}, path.Dir(name))
}

// commandName returns the name of a command without a system folder, or "" if it isn't literal.
func commandName(c shellgo.Command) string {
	switch {
	case strings.ContainsAny(c.Name, "$`{"):
		return ""
	case inSystem(c.Name):
		return path.Base(c.Name)
	}
	return c.Name
}

var (
	moduleFile  = regexp.MustCompile(`(^|[^\w-])(go\.(mod|sum|work)|vendor)($|[^\w.-])`)
	writesToMod = regexp.MustCompile(`>\s*["']?\S*go\.(mod|sum|work)`)
	namesCaches = regexp.MustCompile(`pkg/mod|GOMODCACHE|GOCACHE|go-build`)
	readsOnly   = wordSet(`[ [[ awk cat cmp cut diff echo egrep fgrep grep head ls md5sum printf sha1sum sha256sum sha512sum sort stat tail test wc`)
)

// A pathReader finds the paths that the words of a RUN name.
type pathReader struct {
	lex   *expand.Lex
	scope *scope // of the stage before the RUN
}

// path returns the absolute path that an argument names, if that is known.
func (p pathReader) path(c shellgo.Command, a shellgo.Argument) (string, bool) {
	text := a.Value
	switch {
	case a.Known:
	case a.Outer:
		word, err := p.lex.Word(a.Text, p.scope.env)
		if err != nil || len(word.Unmatched) > 0 {
			return "", false
		}
		text = word.Result
	default:
		return "", false
	}
	if path.IsAbs(text) {
		return path.Clean(text), true
	}
	return path.Join(p.scope.abs(c.Dir), text), c.DirKnown
}

// changes returns the folders of a stage in which a command may change go.mod, go.sum, go.work or vendor/. It returns
// "/" for any folder, and nothing if the command changes no such file.
func (p pathReader) changes(c shellgo.Command) (dirs []string) {
	name := commandName(c)
	switch {
	case name == "rm" || name == "ln" || copying[name]:
		return p.destinations(name, c)
	case showsItself(c):
		return nil
	case !harmless[name] && !generators[name]:
		return []string{"/"}
	case readsOnly[name] || name == "sed" && !slices.ContainsFunc(c.Args, func(a shellgo.Argument) bool {
		return strings.HasPrefix(a.Text, "-i") || strings.HasPrefix(a.Text, "--in-place")
	}):
		return nil
	}
	for _, a := range c.Args {
		if moduleFile.MatchString(a.Text) {
			return []string{"/"}
		}
	}
	return nil
}

// destinations returns the folders that a command copies, moves or unpacks files to, or removes them from.
func (p pathReader) destinations(name string, c shellgo.Command) (dirs []string) {
	var operands []shellgo.Argument
	for _, a := range c.Args {
		if !strings.HasPrefix(a.Text, "-") {
			operands = append(operands, a)
		}
	}
	switch name {
	case "find": // what it runs is a command of its own
		if !slices.ContainsFunc(c.Args, func(a shellgo.Argument) bool { return a.Text == "-delete" || strings.HasPrefix(a.Text, "-fprint") }) {
			return nil
		}
	case "git":
		return p.byGit(c, operands)
	case "cp", "install", "ln", "mv":
		last := operands[max(0, len(operands)-1):]
		if name == "mv" || slices.ContainsFunc(c.Args, func(a shellgo.Argument) bool {
			return strings.HasPrefix(a.Text, "-t") || strings.HasPrefix(a.Text, "--target")
		}) {
			last = operands
		}
		operands = last
	case "rm":
	default: // it unpacks where it runs, or where an argument says
		operands = append(operands, shellgo.Argument{Value: ".", Known: true})
	}
	for _, a := range operands {
		dir, ok := p.path(c, a)
		if !ok || moduleFile.MatchString(a.Text) {
			return []string{"/"}
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// byGit does for git what destinations does for other commands.
func (p pathReader) byGit(c shellgo.Command, operands []shellgo.Argument) []string {
	if len(operands) == 0 {
		return nil
	}
	switch operands[0].Text {
	case "config", "describe", "log", "ls-remote", "rev-list", "rev-parse", "show", "status", "version":
		return nil
	case "clone":
		if len(operands) == 3 {
			if dir, ok := p.path(c, operands[2]); ok {
				return []string{dir}
			}
		}
	}
	if !c.DirKnown || strings.HasPrefix(operands[0].Text, "/") { // git -C DIR
		return []string{"/"}
	}
	return []string{p.scope.abs(c.Dir)}
}

// setsUpOnly are commands that don't read the files that their arguments name.
var setsUpOnly = wordSet(`declare export local mkdir readonly rm set typeset unset`)

// reads says why a command may read one of the caches, or returns "" if it doesn't.
func (p pathReader) reads(c shellgo.Command, caches []string) string {
	name := commandName(c)
	if setsUpOnly[name] {
		return ""
	}
	for _, a := range c.Args {
		if namesCaches.MatchString(a.Text) {
			return c.Name + " names a cache of the go command"
		}
		if name == "git" || strings.HasPrefix(a.Text, "-") || strings.Contains(a.Text, "://") {
			continue
		}
		at, ok := p.path(c, a)
		if !ok && copying[name] {
			return c.Name + " may read a cache of the go command"
		}
		for _, cache := range caches {
			if _, in := below(cache, at); ok && in || copying[name] && overlaps(at, cache) {
				return c.Name + " may read " + cache
			}
		}
	}
	return ""
}

// mayRemove reports whether a command may remove a folder, one of its parents, or anything in it.
func (p pathReader) mayRemove(c shellgo.Command, dir string) bool {
	return commandName(c) == "rm" && slices.ContainsFunc(c.Args, func(a shellgo.Argument) bool {
		if strings.HasPrefix(a.Text, "-") {
			return false
		}
		literal, _, pattern := strings.Cut(a.Text, "*")
		if pattern && !strings.ContainsAny(literal, "$`?[~") {
			at := literal
			if !path.IsAbs(at) {
				at = path.Join(p.scope.abs(c.Dir), at+"x")
			}
			return !c.DirKnown || overlaps(path.Dir(at+"x"), dir)
		}
		at, ok := p.path(c, a)
		return !ok || overlaps(at, dir)
	})
}
