package request

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
)

const ociLayoutScheme = "oci-layout://"

var tagRegexp = regexp.MustCompile(`^\w[\w.-]{0,127}$`)

// ParseContexts parses --build-context values, NAME=SPEC, into a map. The keys
// are the names in BuildKit's form.
func ParseContexts(values []string) (map[string]string, error) {
	out := map[string]string{}
	for _, value := range values {
		name, spec, ok := strings.Cut(value, "=")
		if !ok || spec == "" {
			return nil, fmt.Errorf("--build-context %q: give NAME=PATH, NAME=docker-image://REF, NAME=oci-layout://PATH[:TAG] or NAME=URL", value)
		}
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("--build-context %q: invalid name: %w", value, err)
		}
		out[strings.TrimSuffix(reference.FamiliarString(named), ":latest")] = spec
	}
	return out, nil
}

// addContext adds a named context to the solve: a folder as a local
// mount, an OCI layout as a content store, anything else as it is written.
func addContext(so *client.SolveOpt, name, spec string) error {
	switch {
	case isRemote(spec), strings.HasPrefix(spec, "docker-image://"), strings.HasPrefix(spec, "target:"):
		so.FrontendAttrs["context:"+name] = spec
		return nil
	case strings.HasPrefix(spec, ociLayoutScheme):
		return addOCILayout(so, name, strings.TrimPrefix(spec, ociLayoutScheme))
	}
	mount := name
	if name == "context" || name == "dockerfile" {
		mount = "_" + name // these two are the build's own mounts
	}
	dir, err := openDir(spec)
	if err != nil {
		return fmt.Errorf("build context %q: %w", name, err)
	}
	so.LocalMounts[mount] = dir
	so.FrontendAttrs["context:"+name] = "local:" + mount
	so.FrontendAttrs["sharedkey:localdir:"+name] = sharedKey(spec)
	return nil
}

// addOCILayout opens PATH[:TAG][@DIGEST] as a content store of the session. It
// resolves a tag here, because the builder doesn't see index.json.
func addOCILayout(so *client.SolveOpt, name, ref string) error {
	path, tag, dgst, err := splitLayoutRef(ref)
	if err != nil {
		return fmt.Errorf("build context %q: %w", name, err)
	}
	if dgst == "" {
		if dgst, err = resolveLayoutTag(path, tag); err != nil {
			return fmt.Errorf("build context %q: %w", name, err)
		}
	}
	store, err := local.NewStore(path)
	if err != nil {
		return fmt.Errorf("build context %q: open OCI layout %s: %w", name, path, err)
	}
	if so.OCIStores == nil {
		so.OCIStores = map[string]content.Store{}
	}
	// The store's name is part of the context's spec, so it is derived from the
	// layout's place: the same command makes the same request.
	id := "layout-" + pathHash(path)
	so.OCIStores[id] = store
	if tag != "" {
		id += ":" + tag
	}
	so.FrontendAttrs["context:"+name] = ociLayoutScheme + id + "@" + dgst.String()
	return nil
}

// splitLayoutRef splits PATH[:TAG][@DIGEST]; the tag is latest if neither is given.
func splitLayoutRef(ref string) (path, tag string, dgst digest.Digest, err error) {
	path = ref
	if i := strings.LastIndex(path, "@"); i >= 0 && reference.DigestRegexp.MatchString(path[i+1:]) {
		if dgst, err = digest.Parse(path[i+1:]); err != nil {
			return "", "", "", fmt.Errorf("oci-layout://%s: %w", ref, err)
		}
		path = path[:i]
	}
	if i := strings.LastIndex(path, ":"); i >= 0 && tagRegexp.MatchString(path[i+1:]) {
		path, tag = path[:i], path[i+1:]
	}
	if tag == "" && dgst == "" {
		tag = "latest"
	}
	return path, tag, dgst, nil
}

// resolveLayoutTag finds the manifest of a tag in a layout's index.json. The
// only image of a layout also has the tag latest and, if it has no name, any
// tag.
func resolveLayoutTag(path, tag string) (digest.Digest, error) {
	if _, err := os.Stat(filepath.Join(path, "index.json")); err != nil {
		return "", fmt.Errorf("%s isn't an OCI layout: %w", path, err)
	}
	idx := ociindex.NewStoreIndex(path)
	desc, err := idx.Get(tag)
	if err != nil {
		return "", fmt.Errorf("read OCI layout %s: %w", path, err)
	}
	if desc == nil {
		if desc, err = idx.GetSingle(); err != nil {
			return "", fmt.Errorf("read OCI layout %s: %w", path, err)
		}
		if desc != nil && tag != "latest" && desc.Annotations[ocispecs.AnnotationRefName] != "" {
			desc = nil // it has a name, and it is another
		}
	}
	if desc == nil {
		return "", fmt.Errorf("OCI layout %s has no image tagged %q: name one of its tags, oci-layout://%s:TAG", path, tag, path)
	}
	if err := desc.Digest.Validate(); err != nil {
		return "", fmt.Errorf("OCI layout %s: digest of %q: %w", path, tag, err)
	}
	return desc.Digest, nil
}

// isRemote reports whether a context is a URL or a git reference, which the
// builder fetches. It is false for a text that could be a local path.
func isRemote(spec string) bool {
	if strings.HasPrefix(spec, "https://") || strings.HasPrefix(spec, "http://") {
		return true
	}
	ref, ok, err := dfgitutil.ParseGitRef(spec)
	return ok && (err != nil || !ref.IndistinguishableFromLocal || !exists(spec))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// A localDir is a local mount of a whole folder.
type localDir struct {
	fsutil.FS
	path string
}

// openDir opens a folder as a local mount.
func openDir(path string) (fsutil.FS, error) {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("folder %q not found", path)
	case err != nil:
		return nil, err
	case !fi.IsDir():
		return nil, fmt.Errorf("%q isn't a folder", path)
	}
	dir, err := fsutil.NewFS(path)
	return localDir{dir, path}, err
}

// sharedKey returns a folder's key for BuildKit's incremental transfer: the
// same folder has the same key in every build, and the key reveals only its
// base name.
func sharedKey(path string) string {
	abs := absolute(path)
	return filepath.Base(abs) + ":" + pathHash(abs)
}

// pathHash returns a short hash of a path on this machine.
func pathHash(path string) string {
	sum := sha256.Sum256([]byte(absolute(path)))
	return hex.EncodeToString(sum[:8])
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
