package inbuild

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/larder-build/larder/internal/fetch"
)

// A bugError is a panic, of Larder or of a library that it uses.
type bugError struct {
	value any
	where string // function, file and line
}

func (e *bugError) Error() string {
	return fmt.Sprintf("this is a bug in Larder, report it please: %v in %s", fetch.OneLine(fmt.Errorf("%v", e.value)), e.where)
}

// caught returns what do returns, or a bugError if it panics: what comes from outside may be what a library wasn't made
// for. It sees no panic of a goroutine that do starts, so each of a step's own goroutines has one; what libraries start
// themselves, net/http and ssh for their connections, can't have one.
func caught(do func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &bugError{value, panicked()}
		}
	}()
	return do()
}

// panicked returns where the panic that is being recovered from was.
func panicked() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	inPanic := false
	for {
		frame, more := frames.Next()
		inRuntime := strings.HasPrefix(frame.Function, "runtime.")
		if inPanic && !inRuntime {
			file := frame.File[strings.LastIndexByte(frame.File, '/')+1:]
			return fmt.Sprintf("%s (%s:%d)", frame.Function, file, frame.Line)
		}
		inPanic = inPanic || frame.Function == "runtime.gopanic"
		if !more {
			return "an unknown place"
		}
	}
}

// maxFetchMemory is how much memory a step that fetches may take, in bytes. Servers decide how much that is as far as the
// bounds of what they send allow, and others build on the same machine.
const maxFetchMemory = 4 << 30

// A fetchList has the modules that are being fetched.
type fetchList struct {
	mu      sync.Mutex
	modules map[module.Version]int
}

// begin notes a module until the function that it returns is called.
func (f *fetchList) begin(m module.Version) (end func()) {
	f.note(m, 1)
	return func() { f.note(m, -1) }
}

func (f *fetchList) note(m module.Version, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.modules == nil {
		f.modules = map[module.Version]int{}
	}
	if f.modules[m] += n; f.modules[m] == 0 {
		delete(f.modules, m)
	}
}

func (f *fetchList) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for m := range f.modules {
		names = append(names, m.String())
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// limitMemory has the garbage collector keep below the limit, and calls over where that isn't enough: with an error that
// names the modules being fetched. What takes the memory may heed no context, so over has to end the process; RLIMIT_AS
// would end it with the stack of every goroutine. The function that is returned stops the watch.
func limitMemory(limit uint64, modules *fetchList, over func(error)) (stop func()) {
	before := debug.SetMemoryLimit(int64(limit - limit/4))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if taken := memoryTaken(); taken > limit {
				over(fmt.Errorf("fetching modules takes %s of memory, and may take %s: expected less of %s; if its server is to be trusted, pass a GOPROXY folder that has it as the named context larder-modules",
					megabytes(int64(taken)), megabytes(int64(limit)), modules))
				return
			}
		}
	})
	return func() { cancel(); wg.Wait(); debug.SetMemoryLimit(before) }
}

// memoryTaken returns how much memory the process has from the system, in bytes.
func memoryTaken() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// endStep ends the process, as Main does for an error.
func endStep(err error) {
	fmt.Fprintf(os.Stderr, "larder: %s\n", err)
	os.Exit(exitFailure)
}
