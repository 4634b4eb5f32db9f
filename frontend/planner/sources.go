package planner

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/redact"
)

// Named contexts that replace what would be fetched.
const (
	ModulesContext   = "larder-modules"   // a GOPROXY folder: modules, and toolchains if it holds any
	ToolchainContext = "larder-toolchain" // a GOPROXY folder with golang.org/toolchain
)

// ModulesArg is the build argument that names a repository of images with modules and toolchains. 'larder bundle push'
// fills the repository. The tags are those of gomod.SetTag and gotoolchain.Toolchain.Tag.
const ModulesArg = "LARDER_MODULES"

// storedImage returns the repository's image of a tag. The bool is false if there is none.
func (r Request) storedImage(tag string) (Source, bool, error) {
	repo := strings.TrimSuffix(r.BuildArgs[ModulesArg], "/")
	if repo == "" || r.ModuleImage == nil {
		return Source{}, false, nil
	}
	ok, err := r.ModuleImage(repo + ":" + tag)
	if err != nil {
		err = fmt.Errorf("%s=%s: %w", ModulesArg, repo, err)
	}
	return Source{Image: repo + ":" + tag}, ok, err
}

// setSources returns where the modules of a set come from. It is an image in the repository of ModulesArg, if that has
// one of exactly this set and the build has no named context larder-modules. Otherwise it is what ModuleSources
// returns.
func setSources(req Request, set gomod.Set) ([]Source, error) {
	if !set.Empty() && !req.hasContext(ModulesContext) {
		if image, ok, err := req.storedImage(gomod.SetTag(set.Key())); ok || err != nil {
			return []Source{image}, err
		}
	}
	return ModuleSources(req)
}

// ProxyContext returns the name of the named context for the i-th entry of GOPROXY, from 0, if that entry is a file
// URL.
func ProxyContext(i int) string { return "larder-goproxy-" + strconv.Itoa(i) }

// DefaultProxy is the GOPROXY of a build that doesn't set it. It is the go command's own default.
const DefaultProxy = "https://proxy.golang.org,direct"

// A Source is a place that modules and toolchains come from: a named context, or an entry of GOPROXY.
type Source struct {
	Context string `json:"context,omitempty"` // a named context that holds a GOPROXY folder
	Image   string `json:"image,omitempty"`   // an image that is one
	URL     string `json:"url,omitempty"`     // a module proxy
	Keyword string `json:"keyword,omitempty"` // direct or off
	AnyErr  bool   `json:"anyErr,omitempty"`  // the next entry is tried after any error: it stands behind a '|'
}

// Network reports whether the source needs a network.
func (s Source) Network() bool { return !s.atHand() && s.Keyword != "off" }

// atHand reports whether the source is a folder that BuildKit mounts.
func (s Source) atHand() bool { return s.Context != "" || s.Image != "" }

// String returns the source's name, without a user's name or password.
func (s Source) String() string {
	switch {
	case s.Context != "":
		return "the named context " + s.Context
	case s.Image != "":
		return s.Image
	case s.URL != "":
		return redact.URL(s.URL)
	}
	return s.Keyword
}

// ModuleSources returns where modules come from. If the build has the named context larder-modules, it is the only
// source. Otherwise the sources are the entries of GOPROXY, in the go command's syntax (see 'go help goproxy'). A file
// URL names a folder of the client's, which only a named context can bring into a build.
func ModuleSources(req Request) ([]Source, error) {
	if req.hasContext(ModulesContext) {
		return []Source{{Context: ModulesContext}}, nil
	}
	list := req.BuildArgs["GOPROXY"]
	if list == "" {
		list = DefaultProxy
	}
	var sources []Source
	for _, proxy := range gomod.ParseProxies(list) {
		s, err := proxySource(proxy, req)
		if err != nil {
			return nil, err
		}
		s.AnyErr = proxy.AnyError
		sources = append(sources, s)
	}
	if len(sources) == 0 {
		return nil, errors.New("GOPROXY has no entries: set it to the URL of a module proxy, such as https://proxy.golang.org, or leave it out")
	}
	return sources, nil
}

// proxySource returns the source that an entry of GOPROXY names.
func proxySource(proxy gomod.Proxy, req Request) (Source, error) {
	u := proxy.URL
	switch {
	case proxy.Word != "":
		return Source{Keyword: proxy.Word}, nil
	case u == nil:
		return Source{}, fmt.Errorf("GOPROXY: entry %d is not a URL: expected https://HOST, file:///FOLDER, direct or off", proxy.Position)
	}
	if _, secret := u.User.Password(); secret {
		return Source{}, fmt.Errorf("GOPROXY: entry %d (%s) carries a password, and a build argument isn't secret: leave it out", proxy.Position, redact.URL(proxy.Text))
	}
	switch u.Scheme {
	case "http", "https":
		return Source{URL: strings.TrimSuffix(proxy.Text, "/")}, nil
	case "file":
		name := ProxyContext(proxy.Position - 1)
		if !req.hasContext(name) {
			return Source{}, fmt.Errorf("GOPROXY=%s: a build step can't see this machine's folders: pass it as a named context with --build-context %s=%s", proxy.Text, ModulesContext, u.Path)
		}
		return Source{Context: name}, nil
	}
	return Source{}, fmt.Errorf("GOPROXY: %q is not a proxy that Larder knows: expected https://HOST, file:///FOLDER, direct or off", redact.URL(proxy.Text))
}

// toolchainSource chooses where a toolchain comes from. It takes the first that has it of these: the named context for
// toolchains, an image in the repository of ModulesArg, the other named contexts, and the first proxy.
func toolchainSource(req Request, sources []Source, version string) (Source, error) {
	var asked []string
	switch named := req.hasContext(ToolchainContext); {
	case named && req.holdsToolchain(ToolchainContext, version):
		return Source{Context: ToolchainContext}, nil
	case named:
		asked = append(asked, Source{Context: ToolchainContext}.String())
	case req.hasContext(ModulesContext):
		// The folder need not hold a toolchain: then it comes from the proxy, as it would without the folder.
		proxies, err := ModuleSources(req.withoutContext(ModulesContext))
		if err != nil {
			return Source{}, err
		}
		sources = append(sources, proxies...)
	default:
		image, ok, err := req.storedImage(gotoolchain.Toolchain{Version: version}.Tag(req.BuildPlatform))
		if ok || err != nil {
			return image, err
		}
	}
	for _, s := range sources {
		if s.Context != "" && !req.holdsToolchain(s.Context, version) {
			asked = append(asked, s.String())
			continue
		}
		if s.Keyword == "" {
			return s, nil
		}
	}
	why, do := "GOPROXY names no proxy to take it from", "pass a folder that has golang.org/toolchain"
	switch last := sources[len(sources)-1]; {
	case len(asked) > 0:
		why = fmt.Sprintf("it isn't in %s, and %s", strings.Join(asked, " or "), why)
		do = "put golang.org/toolchain into the folder, or pass one that has it"
	case last.Keyword == "direct":
		do = "name a proxy that has golang.org/toolchain before direct, such as " + strings.TrimSuffix(DefaultProxy, ",direct") + ", or pass a folder that has it"
	}
	return Source{}, fmt.Errorf("the Go toolchain %s is nowhere to be had: %s: %s with --build-context %s=FOLDER", version, why, do, ToolchainContext)
}
