package inbuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/larder-build/larder/internal/step"
)

// runBaseline keeps the needs of a build's module, for builds with similar needs. They come in the environment, as the
// proxy for FTP, because they must not be in a cache key.
func runBaseline(_ context.Context, s *step.Baseline, to output) error {
	needs := os.Getenv("FTP_PROXY")
	if err := os.WriteFile(s.Out, []byte(needs), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(to.stdout, "listed what is needed, in %d bytes\n", len(needs))
	return stampTree(filepath.Dir(s.Out))
}
