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

// A bugError is a panic in Larder or in a library that it uses.
type bugError struct {
	value any
	where string // function, file and line
}

func (e *bugError) Error() string {
	return fmt.Sprintf("this is a bug in Larder, report it please: %v in %s", fetch.OneLine(fmt.Errorf("%v", e.value)), e.where)
}

// caught returns the error of do, or a bugError if do panics: input from outside may make a library panic. It doesn't
// see panics in other goroutines, so each of a step's goroutines calls it. Goroutines that libraries start themselves,
// such as those of net/http and ssh for connections, can't call it.
func caught(do func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &bugError{value, panicked()}
		}
	}()
	return do()
}

// panicked returns the place in the code of the panic that is being recovered from.
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

// maxFetchMemory is how much memory a step that fetches may take, in bytes. Within the bounds on their answers, servers
// decide how much that is, and other builds run on the same machine.
const maxFetchMemory = 4 << 30

// A fetchList has the modules that are being fetched.
type fetchList struct {
	mu      sync.Mutex
	modules map[module.Version]int
}

// begin adds a module to the list until the returned function is called.
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

// limitMemory sets the garbage collector's memory limit. If that isn't enough, it calls over with an error that names
// the modules being fetched. The code that takes the memory may ignore its context, so over has to end the process;
// RLIMIT_AS would end it with the stacks of all goroutines. The returned function stops the watch.
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

// memoryTaken returns the number of bytes that the process has from the system.
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
