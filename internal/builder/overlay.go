package builder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"
)

// snapshotterName returns overlayfs if root's file system supports it, or else native.
func snapshotterName(root string) string {
	if tryOverlay(root) == nil || overlayutils.Supported(root) == nil {
		return "overlayfs"
	}
	return "native"
}

// tryOverlay mounts an overlay in root to see if that works, as
// overlayutils.Supported does. That function waits until everything is written
// to the whole disk, for all programs. tryOverlay doesn't, because it mounts
// the overlay as volatile. Kernels before 5.10 don't know that option.
func tryOverlay(root string) error {
	if ok, err := fs.SupportsDType(root); err != nil || !ok {
		return errors.Join(err, errors.ErrUnsupported)
	}
	trial, err := os.MkdirTemp(root, "overlay-check")
	if err != nil {
		return err
	}
	defer os.RemoveAll(trial)
	at := func(name string) string { return filepath.Join(trial, name) }
	for _, name := range []string{"a", "b", "upper", "work", "merged"} {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("volatile,lowerdir=%s:%s,upperdir=%s,workdir=%s", at("a"), at("b"), at("upper"), at("work"))
	if err := unix.Mount("overlay", at("merged"), "overlay", 0, options); err != nil {
		return err
	}
	return unix.Unmount(at("merged"), 0)
}
