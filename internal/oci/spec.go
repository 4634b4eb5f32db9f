package oci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/moby/sys/user"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// newSpec returns the runtime's description of a container with only what a service needs: the image's own user,
// environment, folder and command, and a read-only root file system. It has no capabilities and no way to get any.
func newSpec(config ocispec.ImageConfig, rootfs string, o RunOptions) (*specs.Spec, error) {
	args := o.Args
	if args == nil {
		args = slices.Concat(config.Entrypoint, config.Cmd)
	}
	if len(args) == 0 {
		return nil, errors.New("the image has neither entrypoint nor command")
	}
	who, err := findUser(rootfs, config.User)
	if err != nil {
		return nil, err
	}
	cwd := config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	namespaces := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
	}
	if o.Netns != "" {
		namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: o.Netns})
	}
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: rootfs, Readonly: true},
		Process: &specs.Process{
			Args: args, Env: mergeEnv(config.Env, o.Env), Cwd: cwd, User: who,
			Capabilities: &specs.LinuxCapabilities{}, NoNewPrivileges: true,
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
			// Some releases of runc give it the mode of the image's own /tmp.
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777", "size=64m"}},
		},
		Linux: &specs.Linux{
			Namespaces:    namespaces,
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/proc/sched_debug", "/proc/timer_list"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}, nil
}

// mergeEnv returns the variables of env; those in more replace variables of the same name.
func mergeEnv(env, more []string) []string {
	merged := slices.Clone(env)
	for _, kv := range more {
		name, _, _ := strings.Cut(kv, "=")
		merged = slices.DeleteFunc(merged, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		merged = append(merged, kv)
	}
	return merged
}

// findUser looks up an image's USER in the image's own passwd and group files. An empty name means root.
func findUser(rootfs, name string) (specs.User, error) {
	root, err := os.OpenRoot(rootfs)
	if err != nil {
		return specs.User{}, err
	}
	defer root.Close()
	passwd, err := openIfThere(root, "etc/passwd")
	if err != nil {
		return specs.User{}, err
	}
	defer passwd.Close()
	group, err := openIfThere(root, "etc/group")
	if err != nil {
		return specs.User{}, err
	}
	defer group.Close()
	found, err := user.GetExecUser(name, nil, passwd, group)
	if err != nil {
		return specs.User{}, fmt.Errorf("the image's user %q: %w", name, err)
	}
	who := specs.User{UID: uint32(found.Uid), GID: uint32(found.Gid)}
	for _, gid := range found.Sgids {
		who.AdditionalGids = append(who.AdditionalGids, uint32(gid))
	}
	return who, nil
}

func openIfThere(root *os.Root, name string) (io.ReadCloser, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return f, err
}
