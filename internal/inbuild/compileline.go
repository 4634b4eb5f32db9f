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

// ownPath is the PATH for a line that runs no program of its stage.
const ownPath = step.GoRoot + "/bin"

// compileSettings are the variables of the stage's environment that a line gets if it runs no program of its stage. All
// others are left out: GOCACHEPROG names a program, GOROOT and GOTOOLDIR say where programs are.
var compileSettings = strings.Fields(`GOOS GOARCH GO386 GOAMD64 GOARM GOARM64 GOMIPS GOMIPS64 GOPPC64 GORISCV64 GOWASM GODEBUG GOEXPERIMENT
	GOFIPS140 GOFLAGS GOMODCACHE GOCACHE GOWORK GOPATH GOBIN GOENV GOTOOLCHAIN GOPROXY GONOPROXY GOSUMDB GOVCS GOTELEMETRY
	GOMAXPROCS GOGC GOMEMLIMIT HOME PWD SOURCE_DATE_EPOCH ` + step.CommitEnv)

// checkCompiles checks that a line with these expanded words does nothing but compile, whatever the plan expected, and
// that it writes only files of the stage.
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

// outputs returns the files and folders that a line writes.
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

// absolute makes a name absolute. It keeps "..", because its meaning depends on the links before it.
func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return dir + "/" + name
}

// outsideOf checks that a file, or the content of a folder, doesn't lie in another folder when symbolic links are
// followed.
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

// resolve follows symbolic links as far as the path exists. For a link that leads nowhere it returns the link's target,
// because the program that creates the file would follow it.
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

// ownEnvironment removes all variables that a line which runs no program of its stage may not see.
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
