package cacheprog

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// The go command's own times: it touches a used entry once an hour, and once a day removes what wasn't used for 5 days.
const (
	touchInterval = time.Hour
	trimInterval  = 24 * time.Hour
	trimLimit     = 5 * 24 * time.Hour
)

// used notes the use of files, as the go command does. Failures don't matter: an entry is at worst trimmed too early.
func used(now time.Time, paths ...string) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) >= touchInterval {
			os.Chtimes(path, now, now)
		}
	}
}

// trim removes entries that weren't used of late, unless this was done within a day. The time of the last trim is
// where the go command keeps it, under the same lock, so that neither repeats the other's work. Nobody depends on
// trimming, so failures go unnoticed; where the lock is taken, someone else trims.
func (d Dir) trim(now time.Time) {
	name := filepath.Join(string(d), "trim.txt")
	if !trimDue(name, now) {
		return
	}
	lock := flock.New(name, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o644))
	if ok, err := lock.TryLock(); !ok || err != nil {
		return
	}
	// The time is written first, as in the go command: others then needn't wait.
	due := trimDue(name, now)
	err := error(nil)
	if due {
		err = os.WriteFile(name, strconv.AppendInt(nil, now.Unix(), 10), 0o644)
	}
	lock.Close()
	if !due || err != nil {
		return
	}
	folders, _ := filepath.Glob(filepath.Join(string(d), "[0-9a-f][0-9a-f]"))
	for _, folder := range folders {
		trimFolder(folder, now.Add(-trimLimit-touchInterval))
	}
}

func trimDue(name string, now time.Time) bool {
	data, err := os.ReadFile(name)
	if err != nil {
		return true
	}
	last, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return true
	}
	age := now.Sub(time.Unix(last, 0))
	return age >= trimInterval || age <= -touchInterval
}

func trimFolder(folder string, cutoff time.Time) {
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "-a") && !strings.HasSuffix(e.Name(), "-d") {
			continue
		}
		if info, err := e.Info(); err == nil && info.ModTime().Before(cutoff) {
			os.RemoveAll(filepath.Join(folder, e.Name())) // an executable's -d is a folder
		}
	}
}
