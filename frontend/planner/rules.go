package planner

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/linter"
)

// A rule is a lint rule of Larder's. It applies to files that use something of Larder's.
type rule struct {
	Name        string // by which a check directive skips it
	Description string // what it asks for, in a sentence without an end
}

// A finding is a rule's message about one place.
type finding struct {
	rule    rule
	message string
}

// The rules, in the order of the dialect's reference. The functions below make their findings.
var (
	ruleNetwork  = rule{"GoCompileNetwork", "A step that compiles needs no network"}
	ruleDownload = rule{"GoModDownloadLayer", "Modules downloaded into a layer are downloaded again for each change of go.sum"}
	ruleLatest   = rule{"GoToolchainLatest", "A toolchain without a version changes under the build"}
	ruleCgo      = rule{"GoCgoInScratch", "A binary that cgo made needs a C library, which scratch and static don't have"}
	ruleRoot     = rule{"GoRootUser", "The final image should not run as root"}
	ruleUnpinned = rule{"GoUnpinnedBase", "A base image without a digest changes under the build"}
	ruleGoSum    = rule{"GoSumMissing", "Without go.sum no module can be checked"}
	ruleUseless  = rule{"GoUselessCacheMount", "A cache mount on the module cache is not needed where modules are mounted"}
	ruleLeak     = rule{"GoPrivateModule", "A public proxy is told the paths and versions of what it is asked for"}
	rulePort     = rule{"GoUnknownPlatform", "The go command refuses a platform that it doesn't know"}
	ruleWrites   = rule{"GoModCacheWrite", "A command that resolves modules at build time needs a network and isn't checked by go.sum"}
)

// rules lists all rules.
var rules = []rule{ruleNetwork, ruleDownload, ruleLatest, ruleCgo, ruleRoot, ruleUnpinned, ruleGoSum, ruleUseless, ruleLeak, rulePort, ruleWrites}

func hasNetwork(command, mode string) finding {
	return ruleNetwork.says("go %s runs with a network: leave --network=%s out, and its modules are mounted", command, mode)
}

func staysDownload(why string) finding {
	return ruleDownload.says("go mod download stays a layer of its own: %s", why)
}

func namesNoRelease(base string) finding {
	return ruleLatest.says("%s names no Go release: write one, such as golang:1.26, or FROM go, which takes go.mod's", base)
}

func lacksLibC(line int, base string) finding {
	return ruleCgo.says("the binary that line %d makes with cgo is copied to %s, which has no C library: set CGO_ENABLED=0, copy its libraries with GO --libs=DIR, link it with -ldflags='-linkmode external -extldflags -static', or use a base that has one", line, base)
}

func runsAsRoot() finding {
	return ruleRoot.says("the final stage runs as root: add USER, or start it FROM static, which runs as 65532")
}

func hasNoDigest(base string) finding {
	return ruleUnpinned.says("the base %s has no digest: pin it with @sha256:…, or pass it with --build-context", base)
}

func lacksGoSum(goMod, requires string) finding {
	return ruleGoSum.says("%s requires %s, but there is no go.sum: run 'go mod tidy' and commit go.sum", goMod, requires)
}

func keepsModulesOut(target string) finding {
	return ruleUseless.says("the cache mount at %s keeps Larder's modules out: remove it, and they are mounted there", target)
}

func isAskedOf(module, proxy, why, pattern string) finding {
	return ruleLeak.says("%s is asked of %s, and looks private: %s: pass --build-arg GOPRIVATE=%s to take it from version control, or GONOPROXY=none if a proxy may be asked", module, proxy, why, pattern)
}

func isUnknownPlatform(command, port, why string) finding {
	return rulePort.says("go %s is to compile for %s: %s", command, port, why)
}

func resolvesModules(command, advice string) finding {
	return ruleWrites.says("go %s resolves modules at build time, which needs a network: %s", command, advice)
}

func (r rule) says(format string, args ...any) finding {
	return finding{r, fmt.Sprintf(format, args...)}
}

// linterRule returns the rule in the form that BuildKit's linter takes.
func (r rule) linterRule() linter.LinterRuleI {
	return &linter.LinterRule[func() string]{Name: r.Name, Description: r.Description,
		URL: "https://github.com/larder-build/larder/blob/main/docs/reference/dialect.md#" + strings.ToLower(r.Name)}
}
