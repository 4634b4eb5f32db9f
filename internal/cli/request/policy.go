package request

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/moby/buildkit/client"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
)

// policyVar is the environment variable that names the file of a source policy, as for buildx. See
// https://docs.docker.com/build/building/variables/#experimental_buildkit_source_policy.
const policyVar = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"

// replayedAttr marks a source that was converted, so that it isn't converted again.
const replayedAttr = "larder.replayed"

// AnswerBy makes the build reach one server only, at addr, which answers as replay.Files does. A source policy sends
// the downloads of files there, and the builder's proxy network sends the requests of steps there.
func (r *Request) AnswerBy(addr string) {
	r.solve.ProxyNetwork = true
	policy := &spb.Policy{Version: 1, Rules: []*spb.Rule{{
		Action: spb.PolicyAction_CONVERT,
		Selector: &spb.Selector{
			Identifier: "^(https?)://(.*)$", MatchType: spb.MatchType_REGEX,
			Constraints: []*spb.AttrConstraint{{Key: replayedAttr, Value: "1", Condition: spb.AttrMatch_NOTEQUAL}},
		},
		Updates: &spb.Update{Identifier: "http://" + addr + "/$1/$2", Attrs: map[string]string{replayedAttr: "1"}},
	}}}
	if given := r.solve.SourcePolicy; given != nil {
		policy.Rules = append(policy.Rules, given.Rules...)
	}
	r.solve.SourcePolicy = policy
}

// addPolicy adds the source policy that the environment names.
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
