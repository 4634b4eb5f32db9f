package rootless

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	mobyuser "github.com/moby/sys/user"
)

// ids are the users and groups that a namespace gets.
type ids struct {
	uids, gids []idRange
	direct     bool // this process may write them itself
}

// An idRange maps consecutive IDs: inside from inside on, outside from outside on.
type idRange struct{ inside, outside, count int64 }

// enough is how many IDs a namespace needs for the users of common images: 65534 is nobody.
const enough = 65536

// Check returns an error that says what this user lacks for Start, and how to get it.
func Check() error {
	_, err := findIDs()
	return err
}

// findIDs finds the IDs that this user may map.
func findIDs() (ids, error) {
	if os.Geteuid() == 0 {
		all := []idRange{{0, 0, enough}}
		return ids{all, all, true}, nil // root's own namespace again, in which it has all capabilities
	}
	for _, name := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(name); err != nil {
			return ids{}, fmt.Errorf("%s, by which a user gets the users of images, isn't in PATH: install it (apt-get install uidmap, or dnf install shadow-utils)", name)
		}
	}
	uids, err := subordinate("/etc/subuid", os.Geteuid())
	if err != nil {
		return ids{}, err
	}
	gids, err := subordinate("/etc/subgid", os.Getegid())
	return ids{uids: uids, gids: gids}, err
}

// subordinate returns the IDs for a namespace whose root is this user, or this user's group: those that a file gives this
// user come behind.
func subordinate(file string, own int) ([]idRange, error) {
	uid := strconv.Itoa(os.Geteuid())
	name := uid
	if u, err := user.LookupId(uid); err == nil {
		name = u.Username
	}
	list, err := mobyuser.ParseSubIDFileFilter(file, func(s mobyuser.SubID) bool { return s.Name == name || s.Name == uid })
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	ranges := []idRange{{0, int64(own), 1}}
	next := int64(1)
	for _, s := range list {
		ranges = append(ranges, idRange{next, s.SubID, s.Count})
		next += s.Count
	}
	if next < enough {
		return nil, fmt.Errorf("%s gives the user %s %d IDs, and images need %d: run 'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %[2]s', or name others that nobody has", file, name, next-1, enough-1)
	}
	return ranges, nil
}

// write maps the IDs into the namespace of a process.
func (i ids) write(pid int) error {
	for _, m := range []struct {
		program, file string
		ranges        []idRange
	}{{"newuidmap", "uid_map", i.uids}, {"newgidmap", "gid_map", i.gids}} {
		if i.direct {
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, m.file), []byte(lines(m.ranges)), 0); err != nil {
				return fmt.Errorf("mapping users into a namespace: %w", err)
			}
			continue
		}
		args := append([]string{strconv.Itoa(pid)}, strings.Fields(lines(m.ranges))...)
		if out, err := exec.Command(m.program, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", m.program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

func lines(ranges []idRange) string {
	var b strings.Builder
	for _, r := range ranges {
		fmt.Fprintf(&b, "%d %d %d\n", r.inside, r.outside, r.count)
	}
	return b.String()
}

// Explain adds to an error of a process in the namespace that AppArmor may be its cause: that of Ubuntu lets users make
// namespaces, and forbids nearly everything in them.
func Explain(err error) error {
	value, rerr := os.ReadFile("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	if rerr != nil || strings.TrimSpace(string(value)) != "1" || os.Geteuid() == 0 {
		return err
	}
	for _, denied := range []error{syscall.EPERM, syscall.EACCES} {
		if strings.Contains(err.Error(), denied.Error()) {
			return fmt.Errorf("%w: AppArmor may be the cause: run 'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'", err)
		}
	}
	return err
}

// explain adds to the error of making a user namespace which setting forbids it.
func explain(err error) error {
	for _, s := range []struct{ file, forbids, command string }{
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"},
	} {
		if value, rerr := os.ReadFile(s.file); rerr == nil && strings.TrimSpace(string(value)) == s.forbids {
			return fmt.Errorf("this machine lets no user make a user namespace: %w: run 'sudo %s'", err, s.command)
		}
	}
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("no user namespace can be made here: %w: in a container, its seccomp profile may forbid that (seccompProfile: Unconfined)", err)
	}
	return fmt.Errorf("making a user namespace: %w", err)
}
