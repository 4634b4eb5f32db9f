package request

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/cli/opts"
)

// goVariables are the settings of the go command that reach a build from the
// environment. Those that change what is compiled (GOFLAGS, GOEXPERIMENT …)
// are left out: only --build-arg sets them.
var goVariables = []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE"}

// BuildArgs returns the build arguments: args as written (a NAME alone takes
// its value from env, or is left out), and the go command's variables and
// SOURCE_DATE_EPOCH from env where args don't name them.
func BuildArgs(args []string, env map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range append([]string{"SOURCE_DATE_EPOCH"}, goVariables...) {
		if v := env[name]; v != "" {
			out[name] = v
		}
	}
	given, err := pairs("--build-arg", args, env)
	if err != nil {
		return nil, err
	}
	maps.Copy(out, given)
	return out, nil
}

// pairs parses NAME=VALUE items. A NAME alone is looked up in env, or, with a
// nil env, is given the empty value as docker does for labels.
func pairs(flag string, items []string, env map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, item := range items {
		k, v, ok := strings.Cut(item, "=")
		if k == "" {
			return nil, fmt.Errorf("%s %q: a name is needed before the =", flag, item)
		}
		if !ok && env != nil {
			if v, ok = env[k]; !ok {
				continue
			}
		}
		out[k] = v
	}
	return out, nil
}

// parsePlatforms parses --platform values into BuildKit's form.
func parsePlatforms(values []string) ([]string, error) {
	var out []string
	for _, value := range values {
		for p := range strings.SplitSeq(value, ",") {
			p = strings.TrimSpace(p)
			if p == "" {
				continue
			}
			if p == "local" {
				out = append(out, platforms.Format(platforms.DefaultSpec()))
				continue
			}
			spec, err := platforms.Parse(p)
			if err != nil {
				return nil, fmt.Errorf("--platform %q is unknown: give OS/ARCH[/VARIANT], such as linux/amd64 or linux/arm64", p)
			}
			out = append(out, platforms.FormatAll(platforms.Normalize(spec)))
		}
	}
	// A platform named twice is one platform, as docker has it.
	seen := map[string]bool{}
	return slices.DeleteFunc(out, func(p string) bool {
		dup := seen[p]
		seen[p] = true
		return dup
	}), nil
}

// parseTags checks -t values and joins them as exporters take them.
func parseTags(tags []string) (string, error) {
	out := make([]string, 0, len(tags))
	for _, tag := range tags {
		ref, err := reference.Parse(tag)
		if err != nil {
			return "", fmt.Errorf("invalid tag %q: %w", tag, err)
		}
		out = append(out, ref.String())
	}
	return strings.Join(out, ","), nil
}

// parseHosts turns --add-host values into BuildKit's list.
func parseHosts(hosts []string) (string, error) {
	out := make([]string, 0, len(hosts))
	for _, h := range hosts {
		host, ip, ok := strings.Cut(h, "=")
		if !ok {
			host, ip, _ = strings.Cut(h, ":")
		}
		ip = strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]")
		if host == "" || net.ParseIP(ip) == nil {
			return "", fmt.Errorf("--add-host %q: give HOST:IP", h)
		}
		out = append(out, host+"="+ip)
	}
	return strings.Join(out, ","), nil
}

// parseLimits turns the values of --shm-size and --ulimit into BuildKit's: bytes, and a list.
func parseLimits(o Options) (shm, ulimits string, err error) {
	if o.ShmSize != "" {
		var size opts.MemBytes
		if err := size.Set(o.ShmSize); err != nil || size < 0 {
			return "", "", fmt.Errorf("--shm-size %q: expected a size, such as 128m", o.ShmSize)
		}
		if size > 0 {
			shm = strconv.FormatInt(size.Value(), 10)
		}
	}
	limits := opts.NewUlimitOpt(nil)
	for _, limit := range o.Ulimits {
		if err := limits.Set(limit); err != nil {
			return "", "", fmt.Errorf("--ulimit %q: %w: expected TYPE=SOFT[:HARD], such as nofile=1024:2048", limit, err)
		}
	}
	var list []string
	for _, limit := range limits.GetList() {
		list = append(list, limit.String())
	}
	slices.Sort(list) // GetList has no order, and the steps' keys have what is written here
	return shm, strings.Join(list, ","), nil
}
