// Package rootless starts this program again as root of a user namespace of its own, so that it may mount and run
// containers for a user who isn't root, or for a root without the capability to do that, as that of most containers is.
//
// The kernel lets anybody make a user namespace, but only a privileged program may map more than one user into it:
// newuidmap and newgidmap do, as /etc/subuid and /etc/subgid allow (see user_namespaces(7) and newuidmap(1)). A process
// has no capabilities in its namespace before its user is mapped, and gets them when it executes a program after that.
// So Start starts this program under the name Name, maps, and tells it; there main calls Enter, which executes the program
// once more.
package rootless

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/moby/sys/capability"
)

// Name is what this program is called by until Enter was called.
const Name = "larder-rootless"

// FirstFile is the descriptor that the first of the files has which Start was given.
const FirstFile = 4

// program is this program, also when its file was replaced.
const program = "/proc/self/exe"

// Needed reports whether this process can't mount, so that it takes a user namespace to.
func Needed() bool {
	if os.Geteuid() != 0 {
		return true
	}
	caps, err := capability.NewPid2(0)
	if err != nil || caps.Load() != nil {
		return false
	}
	return !caps.Get(capability.EFFECTIVE, capability.CAP_SYS_ADMIN)
}

// Start starts this program with some arguments, its name first, as root of a new user namespace and with mounts of its
// own. It is given files, the first as descriptor FirstFile, and what it writes to its standard error goes to stderr. It
// gets none of the signals of this process's terminal.
func Start(args, env []string, stderr io.Writer, files ...*os.File) (*exec.Cmd, error) {
	ids, err := findIDs()
	if err != nil {
		return nil, err
	}
	mapped, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer tell.Close()
	cmd := &exec.Cmd{
		Path: program, Args: append([]string{Name}, args...), Env: env, Stderr: stderr,
		ExtraFiles:  append([]*os.File{mapped}, files...),
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, Setpgid: true},
	}
	err = cmd.Start()
	mapped.Close()
	if err != nil {
		return nil, explain(err)
	}
	if err = ids.write(cmd.Process.Pid); err == nil {
		_, err = tell.Write([]byte{1})
	}
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	return cmd, nil
}

// ignoreExit drops the error of a process that was killed.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Enter waits until Start has mapped the users of this process, and executes this program with the arguments that Start
// was given. It returns only if that fails.
func Enter(args, env []string) error {
	mapped := os.NewFile(3, "mapped")
	if _, err := io.ReadFull(mapped, make([]byte, 1)); err != nil {
		return fmt.Errorf("the user namespace wasn't set up: %w", err)
	}
	if err := mapped.Close(); err != nil {
		return err
	}
	return os.NewSyscallError("execve", syscall.Exec(program, args, env))
}
