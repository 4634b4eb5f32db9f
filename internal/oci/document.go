package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// readDocument reads an index, a manifest or a config, and refuses one that another reader might take for a different
// kind.
func (l *Layout) readDocument(ctx context.Context, desc ocispec.Descriptor, v any) error {
	var data json.RawMessage
	if err := l.readJSON(ctx, desc, maxJSON, &data); err != nil {
		return err
	}
	err := CheckDocument(desc.MediaType, data)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("%s in %s: %w", desc.Digest, l.name, err)
	}
	return nil
}

// CheckDocument checks that an index, a manifest or a config is what its media type says, and can't be read as another
// kind too. Readers would choose between two kinds differently.
func CheckDocument(mediaType string, data []byte) error {
	if err := checkNames(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return err
	}
	// The names of any letter case are one to this decoder, as to that of runtimes.
	var d struct {
		MediaType                           *string
		Manifests, Config, Layers, FSLayers json.RawMessage
		RootFS                              json.RawMessage
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	index, manifest, config := d.Manifests != nil, d.Layers != nil || d.FSLayers != nil, d.RootFS != nil
	var strange bool
	var expected string
	switch {
	case images.IsIndexType(mediaType):
		strange, expected = manifest || config || d.Config != nil, "manifests, and neither config nor layers"
	case images.IsManifestType(mediaType):
		strange, expected = index || config || d.FSLayers != nil || d.Config == nil, "config and layers, and no manifests"
	default: // a config, which has a part of that name, too
		strange, expected = index || manifest, "what an image's config has, and neither manifests nor layers"
	}
	if strange {
		return fmt.Errorf("it is called %s, and isn't that alone: expected %s", mediaType, expected)
	}
	if d.MediaType != nil && *d.MediaType != mediaType {
		return fmt.Errorf("it is called %s, and calls itself %q: expected one media type", mediaType, *d.MediaType)
	}
	return nil
}

// checkNames refuses an object that has a name twice, because one reader takes the first value and another the last.
func checkNames(d *json.Decoder) error {
	var open []map[string]bool // of each object and list that isn't closed; nil for a list
	isName := false
	for {
		token, err := d.Token()
		if err != nil {
			return nil // the end, or what decoding will say
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			isName = len(open) > 0 && open[len(open)-1] != nil
			continue
		case string:
			if names := top(open); isName && names != nil {
				if names[token] {
					return fmt.Errorf("it has %q twice in one object", token)
				}
				names[token] = true
				isName = false
				continue
			}
		}
		isName = top(open) != nil
	}
}

func top(open []map[string]bool) map[string]bool {
	if len(open) == 0 {
		return nil
	}
	return open[len(open)-1]
}

var platformPart = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)

// checkPlatform checks that an image's config has the platform that its index names, if the index names one. Runtimes
// use the index's platform, and if it has none, the config's; if the system or the architecture is missing, they use
// their own.
func checkPlatform(index *ocispec.Platform, config ocispec.Platform) error {
	if config.OS == "" || config.Architecture == "" {
		return errors.New("its config doesn't say what platform it is for: expected os and architecture")
	}
	said := []ocispec.Platform{config}
	if index != nil {
		said = append(said, *index)
		if index.OS == "" || index.Architecture == "" {
			return errors.New("its index says only a part of the platform: expected os and architecture")
		}
	}
	for _, p := range said {
		for _, part := range []string{p.OS, p.Architecture, p.Variant} {
			if !platformPart.MatchString(part) {
				return fmt.Errorf("it is for the platform %q: expected OS/ARCH or OS/ARCH/VARIANT", part)
			}
		}
	}
	if index != nil && chosenBy(*index) != chosenBy(config) {
		return fmt.Errorf("its index says that it is for %s, and its config that it is for %s: expected the same", chosenBy(*index), chosenBy(config))
	}
	return nil
}

// chosenBy returns the text by which runtimes choose an image. As in containerd's platforms.Only, which Docker uses
// too, the version of the system is left out, except for Windows. Of images that differ in features, runtimes take the
// one with the most features that the machine has.
func chosenBy(p ocispec.Platform) string {
	n := platforms.Normalize(p)
	if n.OS != "windows" {
		n.OSVersion, n.OSFeatures = "", nil
	}
	return strings.ToLower(platforms.FormatAll(n))
}
