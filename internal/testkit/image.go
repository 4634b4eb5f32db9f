package testkit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FrontendCaps is the label moby.buildkit.frontend.caps of the frontend's image, which lists the frontend's
// capabilities.
const FrontendCaps = "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts"

const frontendImage = `FROM scratch
LABEL moby.buildkit.frontend.network.none=true moby.buildkit.frontend.caps=` + FrontendCaps + `
COPY larder-frontend /
ENTRYPOINT ["/larder-frontend"]
`

// PushFrontend makes the frontend's image from a binary that was built here, and pushes it to a registry. The BuildKit
// daemon at addr makes it. It is compressed as in docker-bake.hcl. This is the quick way for tests of what the image
// does, not of how it is made.
func PushFrontend(t testing.TB, addr, image string) {
	dir := t.TempDir()
	data, err := os.ReadFile(Larder(t, "larder-frontend"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "larder-frontend"), data, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(frontendImage), 0o644))
	Run(t, Tool(t, "buildctl"), "--addr", addr, "build", "--frontend", "dockerfile.v0",
		"--local", "context="+dir, "--local", "dockerfile="+dir, "--output", "type=image,push=true,oci-mediatypes=true,compression=zstd,force-compression=true,name="+image)
}
