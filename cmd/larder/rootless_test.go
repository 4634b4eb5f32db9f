package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A commoner is a world whose commands run as a user who isn't root, with some IDs for the users of images.
type commoner struct {
	*world
	dir string // that everybody may read, and which is the user's
}

// nobody is the user: newuidmap takes none that /etc/passwd hasn't.
const nobody = "nobody"

func newCommoner(t *testing.T) *commoner {
	testkit.Installed(t, "newuidmap")
	w := newWorld(t)
	dir, err := os.MkdirTemp("", "larder-commoner")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "home"), 0o755))
	require.NoError(t, os.Chown(filepath.Join(dir, "home"), 65534, 65534))
	for _, name := range []string{"larder", "larder-frontend"} {
		data, err := os.ReadFile(testkit.Larder(t, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o755))
	}
	require.NoError(t, os.CopyFS(filepath.Join(dir, "proxy"), os.DirFS(w.proxy)))
	for _, name := range []string{"subuid", "subgid"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("root:1:1\n"+nobody+":200000:65536\n"), 0o644))
		if _, err := os.Stat("/etc/" + name); os.IsNotExist(err) { // or there is nothing to mount on
			require.NoError(t, os.WriteFile("/etc/"+name, nil, 0o644))
			t.Cleanup(func() { require.NoError(t, os.Remove("/etc/"+name)) })
		}
	}
	return &commoner{w, dir}
}

// run runs the command as the user, in mounts of its own in which /etc/subuid and /etc/subgid give that user IDs.
func (c *commoner) run(args ...string) (string, error) {
	out, err := c.command(args...).CombinedOutput()
	return string(out), err
}

func (c *commoner) command(args ...string) *exec.Cmd {
	script := `mount --bind "$0/subuid" /etc/subuid && mount --bind "$0/subgid" /etc/subgid &&
exec setpriv --reuid ` + nobody + ` --regid nogroup --clear-groups -- "$@"`
	words := append([]string{"--mount", "sh", "-c", script, c.dir, filepath.Join(c.dir, "larder")}, args...)
	cmd := exec.CommandContext(c.t.Context(), "unshare", words...)
	cmd.Dir = filepath.Join(c.dir, "home")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "BUILDKIT_PROGRESS=plain", "DOCKER_HOST=unix:///no/such/docker.sock", "GOPROXY=file://" + c.dir + "/proxy", "SOURCE_DATE_EPOCH=1700000000"}
	return cmd
}

// addBusybox adds the shell of images that tests make to the context.
func (w *world) addBusybox() {
	busybox, err := os.ReadFile(testkit.Installed(w.t, "busybox"))
	require.NoError(w.t, err)
	require.NoError(w.t, os.WriteFile(filepath.Join(w.context, "busybox"), busybox, 0o755))
}

// build builds the world's context, which everybody may read.
func (c *commoner) build(args ...string) (string, error) {
	src := filepath.Join(c.dir, "src")
	require.NoError(c.t, os.RemoveAll(src))
	require.NoError(c.t, os.CopyFS(src, os.DirFS(c.context)))
	return c.run(append([]string{"build"}, append(args, src)...)...)
}

// A user who isn't root builds the same image as root does, with users of the image's own, and leaves no process.
func TestWithoutRoot(t *testing.T) {
	c := newCommoner(t)
	c.addBusybox()
	c.write("Dockerfile", `# syntax=ghcr.io/larder-build/larder:1
FROM go AS build
GO build -o /out/app .
FROM scratch
ADD busybox /bin/
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /data && chown 1234:4321 /data && chmod 2770 /data && cat /proc/self/uid_map && echo "pid $$"
USER 1234:4321
RUN id -u > /data/user && [ "$(stat -c %u:%g /data/user)" = 1234:4321 ]
COPY --from=build /out/app /bin/app
RUN ["/bin/app"]
`)
	image := filepath.Join(c.dir, "home/image.tar")
	out, err := c.build("-o", "type=oci,rewrite-timestamp=true,dest="+image)
	require.NoError(t, err, out)
	require.Contains(t, out, "hello, larder")
	require.Regexp(t, `\b0 +65534 +1\n\S* ?\S* *1 +200000 +65536\n`, out, "root of the steps is the user")
	require.Contains(t, out, "pid 1\n", "processes of a step see no others")

	c.env = append(c.env, "SOURCE_DATE_EPOCH=1700000000")
	asRoot := filepath.Join(t.TempDir(), "image.tar")
	said, err := c.world.build("-o", "type=oci,rewrite-timestamp=true,dest="+asRoot)
	require.NoError(t, err, said)
	require.Equal(t, digestOf(t, asRoot), digestOf(t, image), "root makes the same image")

	out, err = c.build("-o", "type=local,dest="+filepath.Join(c.dir, "home/files"))
	require.NoError(t, err, out)
	for _, name := range []string{"image.tar", "files/data", "files/bin/app"} {
		info, err := os.Stat(filepath.Join(c.dir, "home", name))
		require.NoError(t, err)
		require.Equal(t, uint32(65534), info.Sys().(*syscall.Stat_t).Uid, "%s is the user's", name)
	}
	require.Empty(t, c.left(), "a builder is left")
}

// What a user has compiled for a bundle leaves no state, though root of a user namespace made it.
func TestWithoutRootCompiles(t *testing.T) {
	c := newCommoner(t)
	src := filepath.Join(c.dir, "src")
	require.NoError(t, os.CopyFS(src, os.DirFS(c.context)))
	home := filepath.Join(c.dir, "home")
	out, err := c.run("bundle", "create", "--no-images", "--no-sumdb", "--compile", "-o", filepath.Join(home, "bundle"), src)
	require.NoError(t, err, out)
	require.Contains(t, out, "1 layers of compiled packages")
	left, err := os.ReadDir(filepath.Join(home, ".local/share/larder"))
	require.NoError(t, err)
	require.Empty(t, left)
	out, err = c.run("build", "--bundle", filepath.Join(home, "bundle"), "--trust-compiled", "--build-arg", "LARDER_OFFLINE=1", "-o", filepath.Join(home, "files"), src)
	require.NoError(t, err, out)
	require.Contains(t, out, ready)
}

// A builder ends with the process that started it, however that ends.
func TestWithoutRootKilled(t *testing.T) {
	c := newCommoner(t)
	c.addBusybox()
	c.write("Dockerfile", "FROM scratch\nADD busybox /bin/\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo sleeping; exec /bin/busybox sleep 1234\"]\n")
	src := filepath.Join(c.dir, "src")
	require.NoError(t, os.CopyFS(src, os.DirFS(c.context)))
	cmd := c.command("build", src)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	out := bufio.NewScanner(stderr)
	for said := ""; !strings.Contains(said, " sleeping"); said = out.Text() {
		require.True(t, out.Scan(), "it ended before the step ran")
	}
	require.NotEmpty(t, c.left())
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Eventually(t, func() bool { return len(c.left()) == 0 }, testkit.Patience, 100*time.Millisecond, "the builder, or the step, is left")
	c.write("Dockerfile", "FROM scratch\nCOPY go.mod /\n")
	said, err := c.build()
	require.NoError(t, err, said)
}

// left lists the processes of the user's builders and their steps.
func (c *commoner) left() (list []string) {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(c.t, err)
	for _, name := range names {
		line, err := os.ReadFile(name)
		status, serr := os.ReadFile(filepath.Join(filepath.Dir(name), "status"))
		if err != nil || serr != nil || !strings.Contains(string(status), "\nUid:\t65534\t") {
			continue // it has ended, or is another user's
		}
		if words := strings.ReplaceAll(string(line), "\x00", " "); strings.Contains(words, c.dir) || strings.Contains(words, "sleep 1234") {
			list = append(list, words)
		}
	}
	return list
}

// In a container that has no privileges, as jobs of GitLab and Kubernetes are, root builds as well: with docker's default
// capabilities, hidden files of /proc, and cgroups that are read-only.
func TestInUnprivilegedContainer(t *testing.T) {
	c := newCommoner(t)
	c.addBusybox()
	c.write("Dockerfile", `# syntax=ghcr.io/larder-build/larder:1
FROM go AS build
GO build -o /out/app .
FROM scratch
ADD busybox /bin/
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox chown 1234:4321 /bin/busybox"]
COPY --from=build /out/app /bin/app
RUN ["/bin/app"]
`)
	require.NoError(t, os.CopyFS(filepath.Join(c.dir, "src"), os.DirFS(c.context)))
	out, err := c.contained("/larder/larder", "build", "--state", "/tmp/state", "-o", "type=oci,dest=/larder/home/image.tar", "/larder/src")
	require.NoError(t, err, out)
	require.Contains(t, out, "hello, larder")
	require.FileExists(t, filepath.Join(c.dir, "home/image.tar"))
}

// contained runs a command in an unprivileged container, in which the world's folder is /larder.
func (c *commoner) contained(args ...string) (string, error) {
	bundle := c.t.TempDir()
	root := filepath.Join(bundle, "rootfs")
	require.NoError(c.t, os.Mkdir(root, 0o755))
	require.NoError(c.t, unix.Mount("/", root, "", unix.MS_BIND, ""))
	c.t.Cleanup(func() { require.NoError(c.t, unix.Unmount(root, unix.MNT_DETACH)) })
	caps := []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
	nosuid := []string{"nosuid", "noexec", "nodev"}
	spec := specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{
			Args: args, Cwd: "/",
			Env:          []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "BUILDKIT_PROGRESS=plain", "GOPROXY=file:///larder/proxy"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Root: &specs.Root{Path: "rootfs", Readonly: true},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: nosuid},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: append(nosuid, "ro")},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: append(nosuid, "ro")},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/larder", Type: "bind", Source: c.dir, Options: []string{"bind"}},
		},
		Linux: &specs.Linux{
			Namespaces:    []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace}},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	data, err := json.Marshal(spec)
	require.NoError(c.t, err)
	require.NoError(c.t, os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o644))
	out, err := exec.CommandContext(c.t.Context(), "runc", "run", "--bundle", bundle, "larder-test-"+rand.Text()).CombinedOutput()
	return string(out), err
}

// What a user lacks is said with the command that mends it, and nothing is made.
func TestWithoutRootLacks(t *testing.T) {
	c := newCommoner(t)
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644))
	}
	for text, want := range map[string]string{
		"":                             "/etc/subuid gives the user nobody 0 IDs, and images need 65535: run 'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 nobody'",
		nobody + ":200000:1000\n":      "/etc/subuid gives the user nobody 1000 IDs, and images need 65535",
		nobody + ":x:y\n" + "root:1\n": "gives the user nobody 0 IDs",
	} {
		write("subuid", text)
		out, err := c.build()
		require.Error(t, err)
		require.Contains(t, out, want)
		require.Contains(t, out, "--builder")
		require.NotContains(t, strings.TrimSpace(out), "\n", "one line")
	}
	write("subuid", nobody+":0:65536\n") // of root itself: newuidmap refuses none that the file gives
	write("subgid", "")
	out, err := c.build()
	require.Error(t, err)
	require.Contains(t, out, "/etc/subgid gives the user nobody 0 IDs")
	_, err = os.Stat(filepath.Join(c.dir, "home/.local"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
