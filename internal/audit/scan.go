package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/larder-build/larder/internal/golang/gomod"
	"golang.org/x/mod/module"
	"golang.org/x/vuln/scan"
)

// Govulncheck runs govulncheck with its own arguments. It must run in a separate process, which Options.Govulncheck
// starts. The library takes some of the go command's settings from the process's environment, doesn't stop when its
// context is done, and panics on some sources.
func Govulncheck(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if ofProgram := slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-mode=") }); ofProgram {
		if err := limitMemory(); err != nil {
			return err
		}
	} else if _, err := exec.LookPath("go"); err != nil {
		return errors.New("there is no go command on PATH")
	}
	cmd := scan.Command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(""), stdout, stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Wait()
}

// scanner runs govulncheck on services.
type scanner struct {
	command []string
	env     []string
	served  *loopback
	dir     string    // temporary
	printed io.Writer // see Options

	programs map[string][]vulnerability // by file
}

// newScanner prepares what all runs share: the vulnerability database, and a module cache unless there is one already.
// The caller closes it.
func newScanner(o Options) (*scanner, error) {
	dir, err := os.MkdirTemp("", "larder-audit-")
	if err != nil {
		return nil, err
	}
	served, err := serve(o.Modules, o.VulnDB)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &scanner{command: o.Govulncheck, served: served, dir: dir, printed: o.Printed, programs: map[string][]vulnerability{}}
	for _, name := range []string{"PATH", "TMPDIR", "GOOS", "GOARCH"} {
		if value, ok := o.Env[name]; ok {
			s.env = append(s.env, name+"="+value)
		}
	}
	s.env = append(s.env, "CGO_ENABLED="+cmp.Or(o.Env["CGO_ENABLED"], "0"),
		// A program of that name on PATH would be run in the go command's place.
		"GOPACKAGESDRIVER=off",
		"GOCACHE="+filepath.Join(dir, "gocache"), "GOPATH="+filepath.Join(dir, "gopath"))
	s.env = append(s.env, gomod.OfflineEnv()...)
	switch {
	case o.ModCache != "":
		s.env = append(s.env, "GOMODCACHE="+o.ModCache)
	case o.Modules != nil:
		s.env = append(s.env, "GOPROXY="+served.url+"/modules")
	}
	return s, nil
}

func (s *scanner) close() error {
	return errors.Join(s.served.close(), makeWritable(s.dir), os.RemoveAll(s.dir))
}

// makeWritable makes the folders of a module cache writable, so that they can be removed. The go command makes them
// read-only.
func makeWritable(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(name, 0o700)
	})
}

// run returns the vulnerabilities of a service. It fails if the service's packages can't be loaded.
func (s *scanner) run(ctx context.Context, svc *service) ([]vulnerability, error) {
	if svc.tree.program != nil {
		return s.runProgram(ctx, svc)
	}
	if svc.tree.FS == nil {
		return nil, errors.New("there is no program here, only a list of modules")
	}
	return s.find(ctx, svc, svc.goEnv(), "-C="+svc.folder(), "./...")
}

// find runs govulncheck, and reads what it finds.
func (s *scanner) find(ctx context.Context, svc *service, env []string, args ...string) (found []vulnerability, err error) {
	args = append([]string{"-format=json", "-db=" + s.served.url + "/vulndb"}, args...)
	var printed bytes.Buffer
	err = s.start(ctx, svc, env, func(stdout io.Reader) (err error) {
		if s.printed != nil {
			stdout = io.TeeReader(stdout, &printed)
		}
		if found, err = svc.decode(stdout); err != nil {
			err = fmt.Errorf("govulncheck's output: %w", err)
		}
		return err
	}, args...)
	if err == nil && s.printed != nil {
		_, err = s.printed.Write(bytes.ReplaceAll(printed.Bytes(), []byte(s.served.url), nil))
	}
	return worst(found), err
}

// start runs govulncheck for a service, and has its output read.
func (s *scanner) start(ctx context.Context, svc *service, env []string, read func(io.Reader) error, args ...string) error {
	cmd := exec.CommandContext(ctx, s.command[0], append(s.command[1:len(s.command):len(s.command)], args...)...)
	cmd.Dir = svc.folder()
	cmd.Env = append(s.env[:len(s.env):len(s.env)], env...)
	// The go commands that it starts end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := read(stdout)
	_, drainErr := io.Copy(io.Discard, stdout) // else it could wait for a reader for ever
	if err := cmd.Wait(); err != nil {
		return s.reason(err, stderr.String(), svc.tree)
	}
	return errors.Join(readErr, drainErr)
}

// folder is a service's on this machine; "" for a list.
func (s *service) folder() string {
	if s.tree.FS == nil {
		return ""
	}
	return filepath.Join(s.tree.Dir, filepath.FromSlash(s.dir))
}

// goEnv returns the go command's settings for a service.
func (s *service) goEnv() []string {
	root, work, mod := s.dir, "off", "readonly"
	if s.unit.work != nil {
		root, work = s.unit.dir, filepath.Join(s.tree.Dir, filepath.FromSlash(s.unit.dir), "go.work")
	}
	if _, err := fs.Stat(s.tree.FS, path.Join(root, "vendor/modules.txt")); err == nil {
		mod = "vendor"
	}
	env := []string{"GOWORK=" + work, "GOFLAGS=-mod=" + mod}
	if t, err := s.toolchain(); err == nil {
		env = append(env, "GOVERSION="+t) // govulncheck's: that of the standard library
	}
	return env
}

// reason makes an error of the output of a failed run. It removes parts that differ from run to run.
func (s *scanner) reason(err error, stderr string, t *Tree) error {
	if strings.TrimSpace(stderr) == "" {
		return err
	}
	known := []string{s.served.url + "/modules/", "", s.dir + "/", ""}
	if t.program != nil {
		known = append(known, t.program.file, t.program.Path)
	} else {
		known = append(known, t.Dir+"/", t.file("")+"/")
	}
	return errors.New(strings.NewReplacer(known...).Replace(stderr))
}

// message is a part of govulncheck's output, which is documented in golang.org/x/vuln/internal/govulncheck.
type message struct {
	OSV     *entry `json:"osv"`
	Finding *struct {
		OSV          string  `json:"osv"`
		FixedVersion string  `json:"fixed_version"`
		Trace        []frame `json:"trace"`
	} `json:"finding"`
}

// frame is one frame of a call stack. The vulnerable function's frame is the first.
type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Package  string `json:"package"`
	Function string `json:"function"`
	Receiver string `json:"receiver"`
	Position *struct {
		Filename string `json:"filename"` // below the module's folder
		Line     int    `json:"line"`
	} `json:"position"`
}

func (s *service) decode(r io.Reader) ([]vulnerability, error) {
	entries := map[string]*entry{}
	var found []vulnerability
	for dec := json.NewDecoder(r); ; {
		var m message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if m.OSV != nil {
			entries[m.OSV.ID] = m.OSV
		}
		if m.Finding != nil && len(m.Finding.Trace) > 0 {
			v := s.traced(m.Finding.Trace)
			v.id, v.fixed = m.Finding.OSV, m.Finding.FixedVersion
			found = append(found, v)
		}
	}
	for i := range found {
		if e := entries[found[i].id]; e != nil {
			found[i].summary, found[i].aliases = e.summary(), e.aliases()
		}
	}
	return found, nil
}

// traced returns a vulnerability with how far the program gets to it. A trace without a function is about a package,
// and one without a package is about a module. The caller is the service's own line that is nearest to the vulnerable
// function.
func (s *service) traced(trace []frame) vulnerability {
	sink := trace[0]
	v := vulnerability{module: module.Version{Path: sink.Module, Version: sink.Version}}
	switch {
	case sink.Function != "":
		v.reach = called
		v.symbol = strings.TrimPrefix(sink.Receiver, "*") + "." + sink.Function
		if sink.Receiver == "" {
			v.symbol = sink.Function
		}
		v.symbol = sink.Package + "." + v.symbol
	case sink.Package != "":
		v.reach = imported
	}
	for _, f := range trace[1:] {
		if f.Module == s.mod.Module.Mod.Path && f.Position != nil {
			v.caller = position{s.tree.file(path.Join(s.dir, f.Position.Filename)), f.Position.Line}.String()
			break
		}
	}
	return v
}
