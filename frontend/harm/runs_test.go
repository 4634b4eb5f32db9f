package harm

import (
	"regexp"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"
)

// What becomes of a RUN line by Larder: an archive may say which it is, so that the corpus also proves that Larder helps
// where it can.
const (
	injected = "injected" // it has mounts that the user's file doesn't ask for
	left     = "left"     // it is as docker/dockerfile makes it
	dropped  = "dropped"  // there is no step for it
)

// A step is a RUN line as it is run.
type step struct {
	mounts int
	args   []string
	net    pb.NetMode
}

// stagePrefix is what BuildKit puts before the text of an instruction.
var stagePrefix = regexp.MustCompile(`^\[[^\]]*\] `)

// execs returns the RUN lines that a builder was asked to solve.
func (r *recorder) execs() (map[string]*step, error) {
	all := map[string]*step{}
	for _, req := range r.requests {
		if req.Definition == nil {
			continue
		}
		names := map[string]string{}
		for digest, meta := range req.Definition.Metadata {
			names[digest] = stagePrefix.ReplaceAllString(meta.Description["llb.customname"], "")
		}
		for _, dt := range req.Definition.Def {
			var op pb.Op
			if err := op.UnmarshalVT(dt); err != nil {
				return nil, err
			}
			exec := op.GetExec()
			if name := names[digestOf(dt)]; exec != nil && strings.HasPrefix(name, "RUN ") {
				all[strings.TrimPrefix(name, "RUN ")] = &step{len(exec.Mounts), exec.Meta.Args, exec.Network}
			}
		}
	}
	return all, nil
}

// checkRuns compares what became of RUN lines with what the archive says. Their steps are shown as the user wrote them.
func (c *testCase) checkRuns(t *testing.T, want, got map[string]*step) {
	for text := range got {
		if want[text] == nil {
			t.Errorf("a step is shown by a text that isn't the file's: RUN %s", text)
		}
	}
	for _, run := range c.runs {
		matches := 0
		for text, w := range want {
			if !strings.Contains(text, run.text) {
				continue
			}
			matches++
			if fate := fateOf(w, got[text]); fate != run.fate {
				t.Errorf("RUN %s: expected it to be %s, it is %s", text, run.fate, fate)
			}
		}
		if matches == 0 {
			t.Errorf("%s: %s: no RUN line that docker/dockerfile runs has this text", run.fate, run.text)
		}
	}
}

func fateOf(want, got *step) string {
	switch {
	case got == nil:
		return dropped
	case got.mounts > want.mounts:
		return injected
	case got.mounts == want.mounts && got.net == want.net && strings.Join(got.args, "\n") == strings.Join(want.args, "\n"):
		return left
	}
	return "changed"
}
