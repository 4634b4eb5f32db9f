package harm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/larder-build/larder/internal/testkit"
)

// askers has who made requests of the servers: by the mark of a build, the commands of its containers.
//
// The kernel knows who is at the other end of a connection on the same machine. A mark is in the environment of all RUN
// lines of a build, as NO_PROXY: BuildKit's predefined arguments for proxies are in no cache key and in no image.
type askers struct {
	ns     *testkit.Netns
	mu     sync.Mutex
	byMark map[string]map[string]bool
}

const markVariable = "NO_PROXY="

// noting notes who makes a request, while it waits for the answer. What isn't to be found by then has given up, and its
// request made no difference to what it built.
func (a *askers) noting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if remote, err := net.ResolveTCPAddr("tcp", r.RemoteAddr); err == nil {
			for range 3 {
				mark, command, err := identify(a.ns, remote)
				if err == nil {
					a.note(mark, command)
					break
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a *askers) note(mark, command string) {
	if mark == "" {
		return // BuildKit's own: ADD of a URL
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byMark == nil {
		a.byMark = map[string]map[string]bool{}
	}
	if a.byMark[mark] == nil {
		a.byMark[mark] = map[string]bool{}
	}
	a.byMark[mark][command] = true
}

// asking returns the RUN lines that commands are of. A shell may end as the last command of its line, so that a line is
// known by how it ends; a command that no line ends with stands for itself.
func asking(commands map[string]bool, runs map[string]*step) map[string]bool {
	all := map[string]bool{}
	for command := range commands {
		known := false
		for text, run := range runs {
			if line := strings.Join(run.args, " "); strings.HasSuffix(line, command) || strings.HasSuffix(command, line) {
				all["RUN "+text], known = true, true
			}
		}
		if !known {
			all[command] = true
		}
	}
	return all
}

// of returns the commands that made requests in the build of a mark. Larder's own steps, which fetch, are none of them.
func (a *askers) of(mark string) map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	commands := map[string]bool{}
	for command := range a.byMark[mark] {
		if program, _, _ := strings.Cut(command, " "); filepath.Base(program) != "larder-frontend" {
			commands[command] = true
		}
	}
	return commands
}

// identify returns, for a connection from an address in the namespace, the mark of the build and the first process of
// the container that it comes from.
func identify(ns *testkit.Netns, addr *net.TCPAddr) (mark, command string, err error) {
	var table []byte
	var inside string
	outer := ns.Do(func() {
		table, err = os.ReadFile("/proc/thread-self/net/tcp")
		inside, _ = os.Readlink("/proc/thread-self/ns/net")
	})
	if err := errors.Join(outer, err); err != nil {
		return "", "", err
	}
	socket := socketOf(table, addr)
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return "", "", err
	}
	for _, dir := range processes {
		if net, _ := os.Readlink(dir + "/ns/net"); net != inside || !holds(dir, socket) {
			continue
		}
		first := firstOfContainer(dir)
		environ, err := os.ReadFile(dir + "/environ")
		if err != nil {
			return "", "", err
		}
		for v := range bytes.SplitSeq(environ, []byte{0}) {
			if value, ok := strings.CutPrefix(string(v), markVariable); ok && first != "" {
				line, err := os.ReadFile(first + "/cmdline")
				return value, string(bytes.TrimSpace(bytes.ReplaceAll(line, []byte{0}, []byte(" ")))), err
			}
		}
		return "", "", nil
	}
	return "", "", fmt.Errorf("nobody has the socket of %s", addr)
}

// socketOf returns what /proc/PID/fd calls the socket with a local address.
func socketOf(table []byte, addr *net.TCPAddr) string {
	ip := addr.IP.To4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], addr.Port)
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 9 && f[1] == local {
			return "socket:[" + f[9] + "]"
		}
	}
	return ""
}

func holds(process, socket string) bool {
	fds, _ := os.ReadDir(process + "/fd")
	for _, fd := range fds {
		if to, _ := os.Readlink(filepath.Join(process, "fd", fd.Name())); to == socket {
			return true
		}
	}
	return false
}

// firstOfContainer returns the folder of the first process of the container that a process is in, or "" for none.
func firstOfContainer(process string) string {
	for process != "/proc/0" {
		parent, ids := "", 0
		f, err := os.Open(process + "/status")
		if err != nil {
			return ""
		}
		first := false
		for lines := bufio.NewScanner(f); lines.Scan(); {
			key, value, _ := strings.Cut(lines.Text(), ":")
			switch fields := strings.Fields(value); key {
			case "PPid":
				parent = fields[0]
			case "NSpid":
				ids = len(fields)
				first = fields[ids-1] == "1"
			}
		}
		f.Close()
		if ids > 1 && first {
			return process
		}
		if ids < 2 {
			return ""
		}
		process = "/proc/" + parent
	}
	return ""
}
