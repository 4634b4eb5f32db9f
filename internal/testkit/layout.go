package testkit

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// An Image is one for Linux, made without a builder. A layer is its files by name; what is below .wh. is a whiteout.
type Image struct {
	Arch   string
	Layers []map[string][]byte
	SPDX   []byte // a bill of materials that is attested as BuildKit does it; nil for none

	Subject string // digest of the image that it says to refer to; empty for none
}

// WriteLayout writes images as an OCI layout into a folder, several of them as one index. It returns what the layout's
// index.json has: the image or the index.
func WriteLayout(t testing.TB, dir string, images ...Image) ocispec.Descriptor {
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ocispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	var list []ocispec.Descriptor
	for _, image := range images {
		desc := writeImage(t, dir, image)
		list = append(list, desc)
		if image.SPDX != nil {
			list = append(list, writeAttestation(t, dir, desc, image.SPDX))
		}
	}
	root := list[0]
	if len(list) > 1 {
		root = writeJSON(t, dir, ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list})
	}
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{root}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ocispec.ImageIndexFile), index, 0o644))
	return root
}

func writeImage(t testing.TB, dir string, image Image) ocispec.Descriptor {
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: image.Arch}, RootFS: ocispec.RootFS{Type: "layers"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	for _, files := range image.Layers {
		layer := writeBlob(t, dir, ocispec.MediaTypeImageLayer, layerOf(t, files))
		m.Layers = append(m.Layers, layer)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	}
	if image.Subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(image.Subject), Size: 1}
	}
	m.Config = writeJSON(t, dir, ocispec.MediaTypeImageConfig, config)
	desc := writeJSON(t, dir, ocispec.MediaTypeImageManifest, m)
	desc.Platform = &config.Platform
	return desc
}

func writeAttestation(t testing.TB, dir string, image ocispec.Descriptor, spdx []byte) ocispec.Descriptor {
	const spdxType = "https://spdx.dev/Document"
	statement := writeJSON(t, dir, "application/vnd.in-toto+json", map[string]any{
		"_type": "https://in-toto.io/Statement/v0.1", "predicateType": spdxType, "predicate": json.RawMessage(spdx),
		"subject": []any{map[string]any{"name": "x", "digest": map[string]string{"sha256": image.Digest.Encoded()}}},
	})
	statement.Annotations = map[string]string{"in-toto.io/predicate-type": spdxType}
	config := writeJSON(t, dir, ocispec.MediaTypeImageConfig, ocispec.Image{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{statement.Digest}}})
	desc := writeJSON(t, dir, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{statement},
	})
	desc.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	desc.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.Digest.String()}
	return desc
}

func layerOf(t testing.TB, files map[string][]byte) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(files[name]))}))
		_, err := w.Write(files[name])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func writeJSON(t testing.TB, dir, mediaType string, v any) ocispec.Descriptor {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return writeBlob(t, dir, mediaType, data)
}

func writeBlob(t testing.TB, dir, mediaType string, data []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded()), data, 0o644))
	return desc
}
