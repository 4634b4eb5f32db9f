package request

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/moby/buildkit/client"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
)

// policyVar names the file of a source policy, as it does for buildx. See
// https://docs.docker.com/build/building/variables/#experimental_buildkit_source_policy.
const policyVar = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"

// addPolicy has BuildKit hold a build to a source policy.
func addPolicy(so *client.SolveOpt, env map[string]string) error {
	file := env[policyVar]
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%s: reading the source policy: %w", policyVar, err)
	}
	so.SourcePolicy = &spb.Policy{}
	if err := json.Unmarshal(data, so.SourcePolicy); err != nil {
		return fmt.Errorf("%s: %s is not a source policy in JSON: %w", policyVar, file, err)
	}
	return nil
}
