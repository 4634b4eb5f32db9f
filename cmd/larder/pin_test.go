package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/oci/registry"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// pushTiny pushes an image without files, and returns its digest.
func pushTiny(t *testing.T, ref, author string) digest.Digest {
	c, err := registry.NewClient(registry.Options{})
	require.NoError(t, err)
	repo, err := c.Repository(ref)
	require.NoError(t, err)
	push := func(mediaType string, v any, tag string) ocispec.Descriptor {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		_, err = repo.Push(t.Context(), desc, bytes.NewReader(data), tag)
		require.NoError(t, err)
		return desc
	}
	platform := ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	config := push(ocispec.MediaTypeImageConfig, ocispec.Image{Author: author, Platform: platform, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}, "")
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	return push(ocispec.MediaTypeImageManifest, m, repo.Tag()).Digest
}

// Pins are written from a registry, checked, moved with their tags, and the same from a bundle where there is no registry.
func TestPin(t *testing.T) {
	testkit.Larder(t, "larder-frontend")
	w := &world{t: t}
	hub := testkit.Registry(t)
	base, tools := pushTiny(t, hub+"/base:1", "one"), pushTiny(t, hub+"/tools:latest", "tools")
	text := "# syntax=" + hub + "/base:1\nARG V=1\nFROM go:1.26 AS build\r\nFROM " + hub + "/base:1\nCOPY --from=" + hub + "/tools  /x /x\nFROM " + hub + "/base:$V\n"
	pinned := strings.NewReplacer("/base:1\n", "/base:1@"+base.String()+"\n", "/tools ", "/tools:latest@"+tools.String()+" ", "go:1.26", "go:"+strings.TrimPrefix(toolchain, "go")).Replace(text)
	dir := t.TempDir()
	file := filepath.Join(dir, "Dockerfile")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	read := func() string {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(data)
	}

	out := w.fails("pin", "--check", dir)
	require.Contains(t, out, file+":4: "+hub+"/base:1 isn't pinned: it is "+hub+"/base:1@"+base.String()+"\n")
	require.Contains(t, out, "WARNING: "+file+":6: left alone: "+hub+"/base:$V: there are variables or quotes in it\n")
	require.Contains(t, out, "ERROR: 4 names aren't pinned to what they are now: run 'larder pin' without --check\n")
	require.Equal(t, text, read())
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("Dockerfile", link))
	require.Contains(t, w.larder("pin", link), link+":3: go:1.26 isn't pinned: it is go:"+strings.TrimPrefix(toolchain, "go")+"\n")
	require.Equal(t, pinned, read())
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.Equal(t, os.ModeSymlink, info.Mode().Type())
	info, err = os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	w.larder("pin", "--check", file)

	stock := filepath.Join(t.TempDir(), "stock")
	w.larder("bundle", "create", "--no-sumdb", "-o", stock, "--image", hub+"/base:1", "--image", hub+"/tools")
	moved := pushTiny(t, hub+"/base:1", "two")
	require.Contains(t, w.fails("pin", "--check", file), file+":4: "+hub+"/base:1@"+base.String()+" has moved: it is "+hub+"/base:1@"+moved.String()+"\n")
	w.larder("pin", file)
	require.Equal(t, strings.ReplaceAll(pinned, base.String(), moved.String()), read())

	// Behind the gap the bundle is what names stand for. It has no toolchain, and nothing is written then.
	offline := &world{t: t, ns: testkit.Offline(t)}
	require.Contains(t, offline.fails("pin", file), hub)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	require.Contains(t, offline.fails("pin", "--bundle", stock, file), file+":3: "+stock+" has no toolchain of go1.26")
	require.Equal(t, text, read())
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(text, "go:1.26", "scratch", 1)), 0o600))
	offline.larder("pin", "--bundle", stock, file)
	require.Equal(t, strings.Replace(pinned, "go:"+strings.TrimPrefix(toolchain, "go"), "scratch", 1), read())
	offline.larder("pin", "--check", "--bundle", stock, file)

	// One file that can't be pinned leaves all as they are.
	bad := filepath.Join(dir, "bad")
	require.NoError(t, os.WriteFile(bad, []byte("FROM "+hub+"/none:1\n"), 0o600))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	require.Contains(t, w.fails("pin", file, bad), "ERROR: "+bad+":1: "+hub+" has no "+hub+"/none:1")
	require.Equal(t, text, read())
}
