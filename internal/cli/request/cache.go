package request

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildctl/build"
)

// caches parses --cache-from and --cache-to. A bare reference means a
// registry, as docker has it; the rest is BuildKit's own syntax. The build
// argument BUILDKIT_INLINE_CACHE asks for an inline cache beside them.
func caches(o Options, buildArgs map[string]string) (from, to []client.CacheOptionsEntry, err error) {
	fromSpecs, err := cacheSpecs("--cache-from", o.CacheFrom)
	if err != nil {
		return nil, nil, err
	}
	if from, err = build.ParseImportCache(fromSpecs); err != nil {
		return nil, nil, fmt.Errorf("--cache-from: %w", err)
	}
	toSpecs, err := cacheSpecs("--cache-to", o.CacheTo)
	if err != nil {
		return nil, nil, err
	}
	if inline, _ := strconv.ParseBool(buildArgs["BUILDKIT_INLINE_CACHE"]); inline {
		toSpecs = append(toSpecs, "type=inline")
	}
	if to, err = build.ParseExportCache(toSpecs); err != nil {
		return nil, nil, fmt.Errorf("--cache-to: %w", err)
	}
	return from, to, nil
}

// cacheSpecs turns docker's short form, REF[,REF…], into BuildKit's long form.
func cacheSpecs(flag string, values []string) ([]string, error) {
	var out []string
	for _, v := range values {
		switch {
		case v == "":
		case !strings.Contains(v, "="):
			for ref := range strings.SplitSeq(v, ",") {
				out = append(out, "type=registry,ref="+ref)
			}
		case !strings.Contains(v, "type="):
			return nil, fmt.Errorf("%s %q: type= is needed, such as type=registry,ref=… or type=local", flag, v)
		default:
			out = append(out, v)
		}
	}
	return out, nil
}
