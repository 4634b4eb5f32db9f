package request

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
)

// ImageID returns the id of the image that was built, as docker prints it: the
// digest of its configuration, or else of its manifest; empty if the outputs
// have no image.
func ImageID(response map[string]string) string {
	if v := response[exptypes.ExporterImageConfigDigestKey]; v != "" {
		return v
	}
	return response[exptypes.ExporterImageDigestKey]
}

// WriteMetadata writes --metadata-file, as JSON.
func WriteMetadata(path string, metadata map[string]any) error {
	data, err := json.MarshalIndent(metadata, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return WriteFile(path, data)
}

// Metadata returns the exporters' answers as one JSON object. Answers that hold JSON in base64 are decoded.
func Metadata(response map[string]string) map[string]any {
	out := make(map[string]any, len(response))
	for k, v := range response {
		out[k] = v
		data, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			continue
		}
		var object map[string]any
		var list []map[string]any
		if (json.Unmarshal(data, &object) == nil && len(object) > 0) || (json.Unmarshal(data, &list) == nil && len(list) > 0) {
			out[k] = json.RawMessage(data)
		}
	}
	return out
}
