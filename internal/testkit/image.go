package testkit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FrontendCaps is what the frontend's image says that it can do, in the label moby.buildkit.frontend.caps.
const FrontendCaps = "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts"

const frontendImage = `FROM scratch
LABEL moby.buildkit.frontend.network.none=true moby.buildkit.frontend.caps=` + FrontendCaps + `
COPY larder-frontend /
ENTRYPOINT ["/larder-frontend"]
`

// PushFrontend makes the frontend's image of the binary that Larder builds here, on the BuildKit daemon at addr, and
// pushes it to a registry, compressed as docker-bake.hcl has it: the quick way for tests that are about what the image
// does, not how it is made.
func PushFrontend(t testing.TB, addr, image string) {
	dir := t.TempDir()
	data, err := os.ReadFile(Larder(t, "larder-frontend"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "larder-frontend"), data, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(frontendImage), 0o644))
	Run(t, Tool(t, "buildctl"), "--addr", addr, "build", "--frontend", "dockerfile.v0",
		"--local", "context="+dir, "--local", "dockerfile="+dir, "--output", "type=image,push=true,oci-mediatypes=true,compression=zstd,force-compression=true,name="+image)
}
