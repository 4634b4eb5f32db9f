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

// snapshotterName is overlayfs where root's file system can carry one.
func snapshotterName(root string) string {
	if tryOverlay(root) == nil || overlayutils.Supported(root) == nil {
		return "overlayfs"
	}
	return "native"
}

// tryOverlay mounts an overlay in root as a trial, as overlayutils.Supported
// does. That one's waits until all is written that any program has for the
// whole disk; this one has it told that it may be lost. Kernels before 5.10
// know no such option.
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
