package builder

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// settleLimit bounds how long builds that have ended may take to unmount.
const settleLimit = 5 * time.Second

// leftovers removes the containers and mounts that builds left on a state
// folder. A build that ends or is cancelled removes its own. After a build that
// was killed, the folder's next owner removes them.
type leftovers struct{ state, runtime string }

// settle waits until builds that were just cancelled have removed their
// containers and mounts. After settleLimit it removes the rest.
func (l leftovers) settle() error {
	for end := time.Now().Add(settleLimit); time.Now().Before(end); time.Sleep(pollEvery) {
		mounts, err := l.mounts()
		if err != nil {
			return err
		}
		containers, err := l.containers()
		if err != nil {
			return err
		}
		if len(mounts)+len(containers) == 0 {
			return nil
		}
	}
	return l.remove()
}

// remove ends the containers, and then unmounts, innermost first. It removes
// nothing from disk while a mount remains, since the files might belong to what
// is mounted.
func (l leftovers) remove() error {
	containers, err := l.containers()
	if err != nil {
		return err
	}
	for _, bundle := range containers {
		// It fails for a container that is gone already, the usual case.
		exec.Command(l.runtime, "delete", "--force", filepath.Base(bundle)).Run()
	}
	mounts, err := l.mounts()
	if err != nil {
		return err
	}
	for _, at := range slices.Backward(mounts) {
		if err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", at, err)
		}
		unix.Rmdir(at) // a temporary folder, which is empty now; any other stays
	}
	for _, bundle := range containers {
		if err := os.RemoveAll(bundle); err != nil {
			return err
		}
	}
	return nil
}

// containers lists the folders of containers under the executors' folders.
func (l leftovers) containers() ([]string, error) {
	configs, err := filepath.Glob(filepath.Join(executorRoot(workerRoot(globEscape(l.state), "*")), "*", "rootfs"))
	if err != nil {
		return nil, err
	}
	for i := range configs {
		configs[i] = filepath.Dir(configs[i])
	}
	return configs, nil
}

// mounts lists the mount points under the state folder, and the temporary ones
// where BuildKit works on its layers. They are in the order in which they were
// mounted.
func (l leftovers) mounts() ([]string, error) {
	infos, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, err
	}
	inside, temporary := l.state+"/", os.TempDir()+"/"
	home := l.home(infos)
	var at []string
	for _, m := range infos {
		bound := m.Major == home.Major && m.Minor == home.Minor && strings.HasPrefix(m.Root, home.Root+"/")
		overlaid := m.FSType == "overlay" && strings.Contains(unescape(m.VFSOptions), "dir="+inside)
		if strings.HasPrefix(m.Mountpoint, inside) || (bound || overlaid) && strings.HasPrefix(m.Mountpoint, temporary) {
			at = append(at, m.Mountpoint)
		}
	}
	return at, nil
}

// home returns the mount that holds the state folder. Its Root is the folder's
// path inside the file system, as bind mounts of the folder's files show it.
func (l leftovers) home(infos []*mountinfo.Info) mountinfo.Info {
	var home mountinfo.Info
	for _, m := range infos {
		rel, err := filepath.Rel(m.Mountpoint, l.state)
		if err == nil && filepath.IsLocal(rel) && len(m.Mountpoint) >= len(home.Mountpoint) {
			home = *m
		}
	}
	if rel, err := filepath.Rel(home.Mountpoint, l.state); err == nil {
		home.Root = filepath.Join(home.Root, rel)
	}
	return home
}

// octal matches an escaped character in a mount's options, as the kernel writes
// it: a space is \040.
var octal = regexp.MustCompile(`\\[0-3][0-7]{2}`)

func unescape(options string) string {
	return octal.ReplaceAllStringFunc(options, func(code string) string {
		char, err := strconv.ParseUint(code[1:], 8, 8)
		if err != nil {
			return code
		}
		return string([]byte{byte(char)})
	})
}

// globEscape escapes a path for a glob pattern.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
