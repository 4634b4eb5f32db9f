// Command demo starts an image that larder build made, asks it over HTTP, and prints what was built. It is the second
// half of make demo; it has to be root, and needs runc. The image has to serve on $PORT, run as Larder's non-root user
// and be content with itself on /selfcheck, else the demo fails.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/larder-build/larder/internal/oci"
)

// wantUID is the user of images that Larder makes.
const wantUID = 65532

func main() {
	image := flag.String("image", "", "OCI layout: a folder or a tar `file`")
	plan := flag.String("plan", "", "`file` that larder plan --json printed")
	took := flag.Duration("took", 0, "`time` that the build took")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *image, *plan, *took); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, imageFile, planFile string, took time.Duration) (err error) {
	plan, err := readPlan(planFile)
	if err != nil {
		return err
	}
	layout, err := oci.Open(imageFile)
	if err != nil {
		return err
	}
	defer layout.Close()
	image, err := layout.Image(ctx, plan.BuildPlatform)
	if err != nil {
		return err
	}
	s, err := start(ctx, image)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	binary, err := s.binarySize()
	if err != nil {
		return err
	}
	if err := describe(ctx, out, image, plan, binary, took); err != nil {
		return err
	}
	return s.ask(ctx, out)
}

// A buildPlan holds the fields of larder plan --json that the demo reads.
type buildPlan struct {
	BuildPlatform string
	Toolchains    []struct{ Version, Why string }
	Modules       []struct {
		Key  string
		Zips int
	}
}

func readPlan(file string) (plan buildPlan, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return plan, err
	}
	if err := json.Unmarshal(data, &plan); err != nil {
		return plan, fmt.Errorf("%s is no plan: %w", file, err)
	}
	if plan.BuildPlatform == "" || len(plan.Modules) == 0 || len(plan.Toolchains) == 0 {
		return plan, fmt.Errorf("%s lacks the platform, the toolchain or the module key: write it with larder plan --json", file)
	}
	return plan, nil
}

// describe prints the parts of the image, and what they were made from.
func describe(ctx context.Context, out io.Writer, image *oci.Image, plan buildPlan, binary int64, took time.Duration) error {
	layers, err := image.Layers(ctx)
	if err != nil {
		return err
	}
	var packed, plain int64
	for _, l := range layers {
		packed += l.Compressed
		plain += l.Uncompressed
	}
	config := image.Config.Config
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "  %-11s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(out, "Built:")
	row("image", "%s (%s)", image.Digest, image.Platform)
	row("size", "%s; %s compressed", size(plain), size(packed))
	row("binary", "%s; the rest of the image is %s", size(binary), size(plain-binary))
	for _, l := range layers {
		row("layer", "%s; %s compressed  %s", size(l.Uncompressed), size(l.Compressed), cmp.Or(l.CreatedBy, "-"))
	}
	row("user", "%s", config.User)
	row("entrypoint", "%q", config.Entrypoint)
	row("toolchain", "%s: %s", plan.Toolchains[0].Version, plan.Toolchains[0].Why)
	row("modules", "%d, key %s", plan.Modules[0].Zips, plan.Modules[0].Key)
	row("time", "%s", took.Round(100*time.Millisecond))
	return nil
}

func size(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
