// Command larder builds Go container images with the flags of docker build. It
// needs no Docker: it finds a BuildKit, or starts one inside its own process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/inbuild"
	"github.com/larder-build/larder/internal/rootless"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	switch os.Args[0] {
	case rootless.Name:
		fmt.Fprintln(os.Stderr, "larder:", rootless.Enter(os.Args[1:], os.Environ()))
		return 1
	case builder.RootlessName:
		logrus.SetOutput(io.Discard)
		return builder.RunRootless(ctx, os.Args[1:], os.Stderr)
	}
	if args, ok := step.Of(os.Args); ok {
		return inbuild.Main(ctx, args, os.Stdout, os.Stderr)
	}
	logrus.SetOutput(io.Discard) // where libraries log what users needn't read
	cli := &command{
		ctx: ctx, env: environment(os.Environ()),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
	}
	err := cli.root().ExecuteContext(ctx)
	return report(ctx, os.Stderr, err)
}

// environment returns the process's variables as a map. Only main reads them,
// and passes them on.
func environment(vars []string) map[string]string {
	env := make(map[string]string, len(vars))
	for _, v := range vars {
		if name, value, ok := strings.Cut(v, "="); ok {
			env[name] = value
		}
	}
	return env
}

// exitStatus is an exit code as an error. Nothing is printed for it.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is the error of a wrong flag. The command then exits with 125, as
// docker does.
type usageError struct{ error }

// report prints err with the Dockerfile's lines that it is about, and returns
// the exit code. The codes are docker's.
func report(ctx context.Context, w io.Writer, err error) int {
	var status exitStatus
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintln(w, err)
		return 125
	case ctx.Err() != nil || errors.Is(err, context.Canceled) || grpcerrors.Code(err) == codes.Canceled:
		fmt.Fprintln(w, "ERROR: canceled")
		return 130
	}
	for _, s := range errdefs.Sources(err) {
		s.Print(w)
	}
	fmt.Fprintf(w, "ERROR: %v\n", err)
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return 1 // this machine's, not the builder's, whose codes follow
	}
	switch grpcerrors.Code(err) {
	case codes.Internal:
		return 100
	case codes.ResourceExhausted:
		return 102
	}
	return 1
}
