package planner

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// fetchSecrets are the secrets that Larder's own fetch steps get.
var fetchSecrets = []string{"netrc", "goauth", "gitconfig", "known_hosts", "ca"}

// bringsOwn says which credentials a RUN has that Larder's fetch steps don't get, or returns "".
func (r *runLine) bringsOwn() string {
	for _, m := range r.mounts {
		switch {
		case m.Kind == dockerfile.KindSecret && !slices.Contains(fetchSecrets, m.ID):
			return "its modules may need the secret that it mounts: call that netrc, goauth or gitconfig, and Larder fetches with it"
		case m.Kind == dockerfile.KindSSH && m.ID != "" && m.ID != "default":
			return fmt.Sprintf("its modules may need the SSH agent %s: Larder fetches with the one called default", m.ID)
		}
	}
	return ""
}

// setsUp matches text of a Dockerfile that sets up credentials for the go command.
var setsUp = regexp.MustCompile(`git config|\.netrc|\.gitconfig|\.git-credentials|\.ssh\b|ssh-keyscan|GIT_CONFIG|GIT_ASKPASS|GIT_SSH|GOAUTH|NETRC`)

var mountFlag = regexp.MustCompile(`--mount=\S+`)

// noteCredentials notes the first instruction of a stage that sets up credentials.
func (w *planner) noteCredentials(s *scope, cmd instructions.Command) {
	n := w.File.Nodes[cmd.Location()[0].Start.Line]
	texts := []string{mountFlag.ReplaceAllString(n.Original, "")}
	for _, doc := range n.Heredocs {
		texts = append(texts, doc.Content)
	}
	if s.credentials == 0 && slices.ContainsFunc(texts, setsUp.MatchString) {
		s.credentials = n.StartLine
	}
}

// publicProxies are module proxies that anybody may use. The path of a private module must not be sent there.
var publicProxies = []string{"proxy.golang.org", "goproxy.io", "goproxy.cn", "proxy.golang.com.cn", "mirrors.aliyun.com", "athens.azurefd.net"}

// Public reports whether the source is a proxy that needs no credentials.
func (s Source) Public() bool {
	u, err := url.Parse(s.URL)
	return err == nil && slices.Contains(publicProxies, u.Hostname())
}

// lintPrivate warns of modules that look private and that a public proxy will be asked for. Users should know that
// before the proxy is asked.
func (w *planner) lintPrivate() {
	for _, m := range w.plan.Modules {
		i := slices.IndexFunc(m.Sources, Source.Public)
		if i < 0 || m.VCS.GONOPROXY == "none" {
			continue
		}
		for _, sum := range m.Set.Zips() {
			why := gomod.LooksPrivate(sum.Path, w.plan.Module)
			if why == "" || m.VCS.private(sum.Path) {
				continue
			}
			first := []parser.Range{{Start: parser.Position{Line: 1}, End: parser.Position{Line: 1}}}
			f := isAskedOf(sum.Path, m.Sources[i].String(), why, gomod.Host(sum.Path))
			w.lint.Run(f.rule.linterRule(), first, f.message)
			break
		}
	}
}
