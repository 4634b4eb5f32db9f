package request

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/tonistiigi/go-csvvalue"
)

// attestations returns the frontend's attest: attributes. --provenance and
// --sbom are shorthands that win over --attest of the same type. None is made
// unless asked for: provenance holds times and random ids, and the digest of
// an image is to be a function of its inputs.
func attestations(o Options) (map[string]string, error) {
	specs := slices.Clone(o.Attests)
	for typ, v := range map[string]string{"provenance": o.Provenance, "sbom": o.SBOM} {
		if v == "" {
			continue
		}
		if on, err := strconv.ParseBool(v); err == nil {
			v = "disabled=" + strconv.FormatBool(!on)
		}
		specs = append(specs, "type="+typ+","+v)
	}
	out := map[string]string{}
	for _, spec := range specs {
		typ, attrs, disabled, err := parseAttest(spec)
		if err != nil {
			return nil, err
		}
		if disabled {
			delete(out, "attest:"+typ)
			continue
		}
		out["attest:"+typ] = attrs
	}
	return out, nil
}

// parseAttest splits one --attest value into its type and the attributes that
// BuildKit reads.
func parseAttest(spec string) (typ, attrs string, disabled bool, err error) {
	fields, err := csvvalue.Fields(spec, nil)
	if err != nil {
		return "", "", false, fmt.Errorf("--attest %q: %w", spec, err)
	}
	var rest []string
	for _, field := range fields {
		k, v, ok := strings.Cut(field, "=")
		if !ok {
			return "", "", false, fmt.Errorf("--attest %q: %q isn't key=value", spec, field)
		}
		switch strings.ToLower(strings.TrimSpace(k)) {
		case "type":
			typ = v
		case "disabled":
			if disabled, err = strconv.ParseBool(v); err != nil {
				return "", "", false, fmt.Errorf("--attest %q: disabled=%s: want true or false", spec, v)
			}
		default:
			rest = append(rest, quoteField(field))
		}
	}
	if typ == "" {
		return "", "", false, fmt.Errorf("--attest %q: type= is needed (sbom or provenance)", spec)
	}
	return typ, strings.Join(append([]string{"type=" + typ}, rest...), ","), disabled, nil
}

// quoteField quotes a text so that it is one field of a CSV line.
func quoteField(field string) string {
	if !strings.ContainsAny(field, `",`) {
		return field
	}
	return `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
}

// annotationType is the part of an annotation before the colon.
var annotationType = regexp.MustCompile(`^(index|index-descriptor|manifest|manifest-descriptor)(?:\[([A-Za-z0-9_/-]+)\])?$`)

// annotations returns the exporter attributes for --annotation values:
// [TYPE[[PLATFORM]],…:]KEY=VALUE.
func annotations(values []string) (map[string]string, error) {
	out := map[string]string{}
	for _, item := range values {
		k, v, ok := strings.Cut(item, "=")
		if !ok {
			return nil, fmt.Errorf("--annotation %q: give KEY=VALUE", item)
		}
		types, key, typed := strings.Cut(k, ":")
		if !typed {
			out[exptypes.AnnotationKey{Key: k}.String()] = v
			continue
		}
		for typ := range strings.SplitSeq(types, ",") {
			m := annotationType.FindStringSubmatch(typ)
			if m == nil {
				return nil, fmt.Errorf("--annotation %q: unknown type %q: one of index, index-descriptor, manifest, manifest-descriptor, each with [PLATFORM] if wished", item, typ)
			}
			ak := exptypes.AnnotationKey{Type: m[1], Key: key}
			if m[2] != "" {
				p, err := platforms.Parse(m[2])
				if err != nil {
					return nil, fmt.Errorf("--annotation %q: %w", item, err)
				}
				ak.Platform = &p
			}
			out[ak.String()] = v
		}
	}
	return out, nil
}
