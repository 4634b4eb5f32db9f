package inbuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gowords"
	"github.com/larder-build/larder/internal/step"
)

// ownPath is PATH for a line that runs nothing of its stage.
const ownPath = step.GoRoot + "/bin"

// compileSettings are what a line that runs nothing of its stage takes from the stage's environment. All else stays out:
// GOCACHEPROG names a program, GOROOT and GOTOOLDIR say where programs are.
var compileSettings = strings.Fields(`GOOS GOARCH GO386 GOAMD64 GOARM GOARM64 GOMIPS GOMIPS64 GOPPC64 GORISCV64 GOWASM GODEBUG GOEXPERIMENT
	GOFIPS140 GOFLAGS GOMODCACHE GOCACHE GOWORK GOPATH GOBIN GOENV GOTOOLCHAIN GOPROXY GONOPROXY GOSUMDB GOVCS GOTELEMETRY
	GOMAXPROCS GOGC GOMEMLIMIT HOME PWD SOURCE_DATE_EPOCH ` + step.CommitEnv)

// checkCompiles checks that a line of these words, expanded, does no more than compile, whatever the plan took it for,
// and that it writes nothing but the stage's own files.
func (l *goLine) checkCompiles(words []string, env map[string]string) error {
	if l.Compile == "" {
		return nil
	}
	why := gowords.OnlyCompiles(words)
	if why == "" {
		why = gowords.FlagsOnlyCompile(env["GOFLAGS"])
	}
	if why != "" {
		return fmt.Errorf("GO %s: %s: its variables have values that this build wasn't planned for: write the flags out", l.line, why)
	}
	for _, name := range l.outputs(words, env) {
		if err := outsideOf(step.Dir, name); err != nil {
			return fmt.Errorf("GO %s: %w", l.line, err)
		}
	}
	return nil
}

// outputs are the files and folders that a line writes.
func (l *goLine) outputs(words []string, env map[string]string) (names []string) {
	dir := l.Dir
	for i, word := range words {
		flag, value, hasValue := strings.Cut(oneDash(word), "=")
		if !hasValue && i+1 < len(words) {
			value = words[i+1]
		}
		switch flag {
		case "-C":
			dir = absolute(dir, value)
		case "-o":
			names = append(names, value)
		}
	}
	names = append(names, l.Stdout, l.JUnit, l.Libs, env["GOBIN"])
	if words[0] == "install" {
		names = append(names, filepath.Join(env["GOPATH"], "bin"))
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	for i := range names {
		names[i] = absolute(dir, names[i])
	}
	return names
}

// absolute leaves .. as it is: what that is depends on links before it.
func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return dir + "/" + name
}

// outsideOf checks that a file, or what is in a folder, isn't in another folder by way of symbolic links.
func outsideOf(folder, name string) error {
	names := []string{name}
	entries, err := os.ReadDir(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !isNoFolder(name) {
		return err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 {
			names = append(names, filepath.Join(name, e.Name()))
		}
	}
	realFolder, err := resolve(folder)
	if err != nil {
		return err
	}
	for _, n := range names {
		at, err := resolve(n)
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		if at == realFolder || strings.HasPrefix(at, realFolder+"/") {
			return fmt.Errorf("%s is in %s, which is Larder's own: write the output elsewhere", n, folder)
		}
	}
	return nil
}

func isNoFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// resolve follows symbolic links as far as a path is there. A link that leads nowhere would be followed by who makes the
// file: it counts as what it says.
func resolve(name string) (string, error) {
	for range 40 {
		at, err := filepath.EvalSymlinks(name)
		if err == nil {
			return at, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if to, err := os.Readlink(name); err == nil {
			name = absolute(name[:strings.LastIndexByte(name, '/')+1], to)
			continue
		}
		trimmed := strings.TrimRight(name, "/")
		cut := strings.LastIndexByte(trimmed, '/') + 1
		parent, last := trimmed[:cut], trimmed[cut:]
		if parent == "" || last == ".." {
			return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		if parent, err = resolve(parent); err != nil {
			return "", err
		}
		return filepath.Join(parent, last), nil
	}
	return "", errors.New("too many symbolic links")
}

// ownEnvironment leaves of an environment what a line that runs nothing of its stage may see.
func ownEnvironment(env map[string]string) {
	for name := range env {
		if !slices.Contains(compileSettings, name) {
			delete(env, name)
		}
	}
	env["PATH"], env["CGO_ENABLED"] = ownPath, "0"
	if env[step.CommitEnv] != "" {
		env["PATH"] = firstInPath(gitDir, ownPath)
	}
}
