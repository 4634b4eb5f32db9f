package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stopLimit is how long a container may take to stop by itself, the same time as for docker stop.
const stopLimit = 10 * time.Second

// RunOptions says how to start an image, where the image itself doesn't say it.
type RunOptions struct {
	Args           []string // in the place of the image's entrypoint and command
	Env            []string // NAME=value, over the image's own
	Netns          string   // path of a network namespace; empty: the network of this process
	Stdout, Stderr io.Writer
}

// A Container is an image that was started.
type Container struct {
	cmd  *exec.Cmd
	dir  string // bundle and state of the runtime
	id   string
	wait func() error
}

// Start unpacks the image and starts it with runc, which has to be on PATH. It needs root. When ctx is done, the
// container is killed. The caller must call Wait or Stop; both remove everything.
func (i *Image) Start(ctx context.Context, o RunOptions) (*Container, error) {
	if _, err := exec.LookPath("runc"); err != nil {
		return nil, fmt.Errorf("start image: %w: install the package runc", err)
	}
	dir, err := os.MkdirTemp("", "larder-run-")
	if err != nil {
		return nil, err
	}
	if err := i.prepare(ctx, dir, o); err != nil {
		return nil, errors.Join(fmt.Errorf("start image: %w", err), os.RemoveAll(dir))
	}
	// The id is as unique as the folder: control groups are named after it, and those are the machine's.
	c := &Container{dir: dir, id: filepath.Base(dir)}
	c.cmd = exec.CommandContext(ctx, "runc", c.args("run", "--bundle", dir, c.id)...)
	c.cmd.Stdout, c.cmd.Stderr = o.Stdout, o.Stderr
	c.cmd.Cancel = func() error { return c.kill("KILL") }
	c.cmd.WaitDelay = stopLimit
	// A Ctrl-C at the terminal is for the caller, who then stops this.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start image: %w", err), os.RemoveAll(dir))
	}
	c.wait = sync.OnceValue(func() error { return errors.Join(c.cmd.Wait(), c.remove()) })
	return c, nil
}

// prepare makes a runtime bundle: the root file system and config.json.
func (i *Image) prepare(ctx context.Context, dir string, o RunOptions) error {
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		return err
	}
	if err := i.Unpack(ctx, rootfs); err != nil {
		return err
	}
	spec, err := newSpec(i.Config.Config, rootfs, o)
	if err != nil {
		return err
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600)
}

// Rootfs returns the folder of the container's root file system, which is removed with the container. Open its files
// with os.Root, because links may point out of it.
func (c *Container) Rootfs() string { return filepath.Join(c.dir, "rootfs") }

// Wait waits for the container to end and removes it. A status other than zero is an *exec.ExitError.
func (c *Container) Wait() error { return c.wait() }

// Stop sends SIGTERM to the container, kills it if it doesn't stop in time, and returns the same as Wait.
func (c *Container) Stop() error {
	// Runc in the foreground hands the signal on; it fails if the container has ended, and then Wait has more to say.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(stopLimit, func() { _ = c.kill("KILL") })
	defer timer.Stop()
	return c.Wait()
}

func (c *Container) kill(signal string) error { return c.runc("kill", c.id, signal) }

// remove deletes the runtime's state of the container, and its files.
func (c *Container) remove() error {
	// Forced, it succeeds also if there is no container any more.
	return errors.Join(c.runc("delete", "--force", c.id), os.RemoveAll(c.dir))
}

func (c *Container) runc(args ...string) error {
	out, err := exec.Command("runc", c.args(args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("runc %s: %w: %s", args[0], err, out)
	}
	return nil
}

// args adds a flag that keeps the runtime's state beside the bundle, separate from other containers.
func (c *Container) args(args ...string) []string {
	return append([]string{"--root", filepath.Join(c.dir, "state")}, args...)
}
