package inbuild

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/larder-build/larder/internal/step"
)

// runBaseline keeps what a build needs of other modules, for builds that need about the same. What is needed is in the
// environment, as the proxy for FTP: no cache key may have it.
func runBaseline(_ context.Context, s *step.Baseline, to output) error {
	needs := os.Getenv("FTP_PROXY")
	if err := os.WriteFile(s.Out, []byte(needs), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(to.stdout, "listed what is needed, in %d bytes\n", len(needs))
	return stampTree(filepath.Dir(s.Out))
}
