package inbuild

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/step"
)

// A panics writer panics as a library does that was given what it wasn't made for.
type panics struct{ value any }

func (p panics) Write([]byte) (int, error) { panic(p.value) }

// A panic ends a step as an error does: with its name, and no stack of goroutines.
func TestPanicOfStep(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(step.CommitEnv, `{"revision":"32561dd7fd18c47689d9fdc8f22f9bee60a02395","time":5}`)
	var nothing []int
	for value, want := range map[any]string{
		"index out of\nrange": "index out of range in github.com/larder-build/larder/internal/inbuild.panics.Write (guard_test.go:",
		errors.New("x"):       "x in github.com/",
		&nothing:              "in github.com/",
	} {
		var stderr bytes.Buffer
		require.Equal(t, exitFailure, Main(t.Context(), []string{"git", "log", "-1", "--format=%H:%ct"}, panics{value}, &stderr))
		require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
		require.Contains(t, stderr.String(), "larder: the step git: this is a bug in Larder, report it please: ")
		require.Contains(t, stderr.String(), want)
	}
}

// A panic over one module is told with its name, beside what else failed.
func TestPanicOfModule(t *testing.T) {
	set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte("a.example/bad v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\na.example/gone v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")})
	require.NoError(t, err)
	out, err := os.OpenRoot(t.TempDir())
	require.NoError(t, err)
	defer out.Close()
	u := unpacking{out: out, log: io.Discard, known: versions{seen: map[module.Version]bool{}}}
	u.get = func(_ context.Context, sum gomod.Sum, _ bool) (source, error) {
		if sum.Path == "a.example/bad" {
			var pattern []string
			_ = pattern[len(pattern)]
		}
		return source{}, errors.New("it is gone")
	}
	err = u.unpack(t.Context(), set, 2)
	require.ErrorContains(t, err, "a.example/bad@v1.0.0: this is a bug in Larder, report it please: runtime error: index out of range [0] with length 0 in ")
	require.ErrorContains(t, err, "a.example/gone@v1.0.0: it is gone")
}

// A step that is made to take more memory than it may is ended, with the modules that it was at.
func TestMemoryLimit(t *testing.T) {
	var now fetchList
	end := now.begin(module.Version{Path: "b.example/done", Version: "v1.0.0"})
	now.begin(module.Version{Path: "a.example/bomb", Version: "v1.0.0"})
	now.begin(module.Version{Path: "a.example/bomb", Version: "v1.0.0"})
	end()
	over := make(chan error, 1)
	stop := limitMemory(memoryTaken()+64<<20, &now, func(err error) { over <- err })
	defer stop()
	var held [][]byte
	for {
		select {
		case err := <-over:
			require.ErrorContains(t, err, "expected less of a.example/bomb@v1.0.0; if its server")
			require.NotEmpty(t, held)
			return
		case <-t.Context().Done():
			t.Fatal("nothing limits it")
		default:
			require.Less(t, len(held), 4096, "nothing limits it")
			held = append(held, bytes.Repeat([]byte{1}, 1<<20))
			time.Sleep(time.Millisecond) // for the watch to have its turn
		}
	}
}

// Less is nobody's business.
func TestMemoryLimitLeavesAlone(t *testing.T) {
	stop := limitMemory(64<<30, &fetchList{}, func(err error) { t.Error(err) })
	stop()
}
