package harm

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func digestOf(data []byte) string { return digest.FromBytes(data).String() }

// An image is what a user of it sees.
type image struct {
	files   map[string]string // how a file is, by its name
	config  imageConfig
	history []string
}

// imageConfig has more than ocispec.ImageConfig: health checks, ONBUILD and SHELL.
type imageConfig map[string]any

// pull reads an image out of the registry.
func (s *surroundings) pull(ref string) (*image, error) {
	name, tag, _ := strings.Cut(ref, ":")
	var manifest ocispec.Manifest
	if err := s.getJSON(name+"/manifests/"+tag, &manifest); err != nil {
		return nil, err
	}
	var config struct {
		Architecture, OS, Variant string
		Config                    imageConfig
		History                   []ocispec.History
	}
	if err := s.getJSON(name+"/blobs/"+manifest.Config.Digest.String(), &config); err != nil {
		return nil, err
	}
	im := &image{files: map[string]string{}, config: config.Config}
	im.config["platform"] = config.OS + "/" + config.Architecture + config.Variant
	for _, h := range config.History {
		im.history = append(im.history, h.CreatedBy)
	}
	for _, l := range manifest.Layers {
		layer, err := s.layer(name, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Digest, err)
		}
		layer.onto(im.files)
	}
	return im, nil
}

func (s *surroundings) get(path string) (io.ReadCloser, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+registry+"/v2/"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest+", application/vnd.docker.distribution.manifest.v2+json")
	res, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, res.Status)
	}
	return res.Body, nil
}

func (s *surroundings) getJSON(path string, to any) error {
	body, err := s.get(path)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(to)
}

// A layer is the files that it adds, and what it removes.
type layer struct {
	files   map[string]string
	removed []string // names
	opaque  []string // folders whose files of layers below are removed
}

func (s *surroundings) layer(name string, desc ocispec.Descriptor) (*layer, error) {
	if l, ok := s.layers.Load(desc.Digest); ok {
		return l.(*layer), nil
	}
	body, err := s.get(name + "/blobs/" + desc.Digest.String())
	if err != nil {
		return nil, err
	}
	defer body.Close()
	l, err := readLayer(tar.NewReader(body))
	if err == nil {
		s.layers.Store(desc.Digest, l)
	}
	return l, err
}

func readLayer(r *tar.Reader) (*layer, error) {
	l := &layer{files: map[string]string{}}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean("/" + h.Name)
		dir, base := path.Split(name)
		if base == ".wh..wh..opq" {
			l.opaque = append(l.opaque, path.Clean(dir))
			continue
		}
		if rest, ok := strings.CutPrefix(base, ".wh."); ok {
			l.removed = append(l.removed, dir+rest)
			continue
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return nil, err
		}
		text := fmt.Sprintf("type %c, mode %o, owner %d:%d", h.Typeflag, h.Mode, h.Uid, h.Gid)
		if h.Linkname != "" {
			text += ", link to " + h.Linkname
		}
		if h.Typeflag == tar.TypeReg {
			text += fmt.Sprintf(", %d bytes %x", h.Size, sum.Sum(nil)[:8])
		}
		if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
			text += fmt.Sprintf(", device %d:%d", h.Devmajor, h.Devminor)
		}
		for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			if strings.HasPrefix(key, "SCHILY.xattr.") {
				text += fmt.Sprintf(", %s=%q", key, h.PAXRecords[key])
			}
		}
		l.files[name] = text
	}
}

// onto puts a layer onto the files of those below.
func (l *layer) onto(files map[string]string) {
	remove := func(keep bool, name string) {
		for f := range files {
			if f == name && !keep || strings.HasPrefix(f, strings.TrimSuffix(name, "/")+"/") {
				delete(files, f)
			}
		}
	}
	for _, name := range l.opaque {
		remove(true, name)
	}
	for _, name := range l.removed {
		remove(false, name)
	}
	for name, text := range l.files {
		if old, ok := files[name]; ok && strings.HasPrefix(old, "type 5") && !strings.HasPrefix(text, "type 5") {
			remove(false, name)
		}
		files[name] = text
	}
}

// differences says how an image by Larder differs from docker/dockerfile's: not in times, and in nothing else.
func differences(want, got *image) []string {
	var all []string
	names := maps.Clone(want.files)
	maps.Copy(names, got.files)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		w, inWant := want.files[name]
		g, inGot := got.files[name]
		switch {
		case !inWant:
			all = append(all, name+" is Larder's alone: "+g)
		case !inGot:
			all = append(all, name+" isn't in Larder's: "+w)
		case w != g:
			all = append(all, name+": "+w+", and "+g)
		}
	}
	const most = 20
	if len(all) > most {
		all = append(all[:most], fmt.Sprintf("and %d other files", len(all)-most))
	}
	if diff := cmp.Diff(want.config, got.config); diff != "" {
		all = append(all, "config (-, +):\n"+diff)
	}
	if diff := cmp.Diff(want.history, got.history); diff != "" {
		all = append(all, "history (-, +):\n"+diff)
	}
	return all
}
