package request

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/tonistiigi/go-csvvalue"
)

// export is one output: BuildKit's exporter entry, and the file or folder on
// this machine that receives it, if any.
type export struct {
	entry client.ExportEntry
	file  *outFile
	dir   *outDir
}

// parseExports turns -o, --push and --load into outputs.
func parseExports(o Options, h Host) ([]*export, error) {
	var out []*export
	for _, v := range o.Outputs {
		if v == "" {
			continue
		}
		e, err := parseExport(v, h)
		if err != nil {
			return nil, fmt.Errorf("--output %q: %w", v, err)
		}
		out = append(out, e)
	}
	if o.Push {
		out = withPush(out)
	}
	if o.Load {
		out = withLoad(out)
	}
	return out, checkStdout(out)
}

// parseExport parses one -o: type=…,dest=…,KEY=VALUE…, or the path of a
// folder, or "-" for a tar archive on standard output.
func parseExport(v string, h Host) (*export, error) {
	fields, err := csvvalue.Fields(v, nil)
	if err != nil {
		return nil, err
	}
	typ, dest, attrs := "", "", map[string]string{}
	switch {
	case v == "-":
		typ, dest = client.ExporterTar, "-"
	case len(fields) == 1 && fields[0] == v && !strings.HasPrefix(v, "type="):
		typ, dest = client.ExporterLocal, v
	default:
		for _, field := range fields {
			k, val, ok := strings.Cut(field, "=")
			if !ok {
				return nil, fmt.Errorf("%q isn't key=value", field)
			}
			switch k = strings.ToLower(strings.TrimSpace(k)); k {
			case "type":
				typ = val
			case "dest":
				dest = val
			default:
				attrs[k] = val
			}
		}
	}
	if typ == "" {
		return nil, errors.New("type= is needed: oci, docker, image, registry, local or tar")
	}
	e := &export{entry: client.ExportEntry{Type: typ, Attrs: attrs}}
	return e, e.setDest(dest, h)
}

// setDest checks the destination against the type of the output.
func (e *export) setDest(dest string, h Host) error {
	switch e.entry.Type {
	case client.ExporterLocal:
		return e.setDir(dest)
	case client.ExporterTar:
		return e.setFile(dest, h)
	case client.ExporterOCI, client.ExporterDocker:
		if tar, err := strconv.ParseBool(e.entry.Attrs["tar"]); err == nil && !tar {
			return e.setDir(dest)
		}
		if e.entry.Type == client.ExporterDocker && dest == "" {
			return nil // into a Docker engine
		}
		return e.setFile(dest, h)
	case "registry":
		e.entry.Type = client.ExporterImage
		e.setPush()
	case client.ExporterImage, "cacheonly":
	default:
		return fmt.Errorf("type=%s is unknown: one of oci, docker, image, registry, local, tar, cacheonly", e.entry.Type)
	}
	if dest != "" {
		return fmt.Errorf("dest= means nothing for type=%s: for a file, use type=oci,dest=%s", e.entry.Type, dest)
	}
	return nil
}

func (e *export) setPush() {
	e.entry.Attrs["push"] = "true"
	if _, ok := e.entry.Attrs["unpack"]; !ok {
		e.entry.Attrs["unpack"] = "false"
	}
}

func (e *export) setFile(dest string, h Host) (err error) {
	if dest == "" || dest == "-" {
		if h.Stdout == nil {
			return errors.New("dest=FILE is needed: refusing to write to a terminal")
		}
		e.file = newStdout(h.Stdout)
		return nil
	}
	if isDir(dest) {
		return fmt.Errorf("destination file %s is a folder", dest)
	}
	e.file, err = newOutFile(dest)
	return err
}

func (e *export) setDir(dest string) (err error) {
	switch {
	case dest == "" || dest == "-":
		return errors.New("dest=FOLDER is needed")
	case exists(dest) && !isDir(dest):
		return fmt.Errorf("destination folder %s is a file", dest)
	}
	local := e.entry.Type == client.ExporterLocal
	if mode := e.entry.Attrs["mode"]; local && mode != "" && mode != "copy" {
		return fmt.Errorf("mode=%s isn't supported: remove the folder first if it must hold nothing else", mode)
	}
	e.dir, err = newOutDir(dest, !local)
	return err
}

// withPush sets push on an image output, or adds one.
func withPush(out []*export) []*export {
	found := false
	for _, e := range out {
		if e.entry.Type == client.ExporterImage {
			e.setPush()
			found = true
		}
	}
	if found {
		return out
	}
	e := &export{entry: client.ExportEntry{Type: client.ExporterImage, Attrs: map[string]string{}}}
	e.setPush()
	return append(out, e)
}

// withLoad adds the output into a Docker engine, unless it is there.
func withLoad(out []*export) []*export {
	for _, e := range out {
		if e.loads() {
			return out
		}
	}
	return append(out, &export{entry: client.ExportEntry{Type: client.ExporterDocker, Attrs: map[string]string{}}})
}

// loads reports whether the output goes to a Docker engine's image store.
func (e *export) loads() bool {
	return e.entry.Type == client.ExporterDocker && e.file == nil && e.dir == nil
}

func checkStdout(out []*export) error {
	n := 0
	for _, e := range out {
		if e.file != nil && e.file.path == "" {
			n++
		}
	}
	if n > 1 {
		return errors.New("multiple outputs configured to write to stdout")
	}
	return nil
}

// nameExports sets the image names, and the annotations, of the outputs.
func nameExports(out []*export, tags string, annotations map[string]string) error {
	for _, e := range out {
		maps.Copy(e.entry.Attrs, annotations)
		switch e.entry.Type {
		case client.ExporterImage, client.ExporterOCI, client.ExporterDocker:
			if tags != "" {
				e.entry.Attrs["name"] = tags
			}
		}
		push, _ := strconv.ParseBool(e.entry.Attrs["push"])
		if push && e.entry.Attrs["name"] == "" {
			return errors.New("tag is needed when pushing to registry: name the image with -t")
		}
	}
	return nil
}

// exportEntries returns the outputs in the form that the builder b takes. It
// also returns a warning if the result would go nowhere.
func (r *Request) exportEntries(b Builder) (entries []client.ExportEntry, warning string, err error) {
	out := r.exports
	if len(out) == 0 && r.Call == nil {
		if !b.DockerEngine {
			return nil, "No output specified. Build result will only remain in the build cache. " +
				"To write an image use -o type=oci,dest=FILE, to push it to a registry use --push, to load it into Docker use --load", nil
		}
		attrs := map[string]string{}
		if r.tags != "" {
			attrs["name"] = r.tags
		}
		out = []*export{{entry: client.ExportEntry{Type: client.ExporterDocker, Attrs: attrs}}}
	}
	for _, e := range out {
		if r.Call != nil || e.entry.Type == "cacheonly" {
			continue
		}
		entry, err := e.forBuilder(b)
		if err != nil {
			return nil, "", err
		}
		entries = append(entries, entry)
	}
	return entries, "", nil
}

// forBuilder returns the output in the form that the builder b takes. It makes
// the folder that the output is written to.
func (e *export) forBuilder(b Builder) (entry client.ExportEntry, err error) {
	entry = e.entry
	entry.Attrs = maps.Clone(entry.Attrs)
	image := entry.Type == client.ExporterOCI || entry.Type == client.ExporterDocker
	if b.Embedded && (image || entry.Type == client.ExporterImage) {
		compressFast(entry.Attrs)
	}
	switch {
	case e.loads() && !b.DockerEngine:
		return entry, errors.New("--load and type=docker need a Docker engine, and the builder isn't one: " +
			"write the image to a file with -o type=oci,dest=image.tar (or type=docker,dest=image.tar for docker load)")
	case e.loads(), b.DockerEngine && entry.Type == client.ExporterImage:
		entry.Type = "moby" // the engine's own image store
		if b.ContainerdStore {
			entry.Attrs["prefer-image-digest"] = "true" // how that store knows an image
		}
	case b.DockerEngine && !b.ContainerdStore && image:
		return entry, fmt.Errorf("type=%s with dest= isn't possible with this Docker engine, which doesn't keep images in containerd's store: "+
			"turn that on in the engine's settings, or build with --builder embedded", entry.Type)
	case e.file != nil:
		entry.Output = e.file.open
	case e.dir != nil && entry.Type == client.ExporterLocal && entry.Attrs["platform-split"] == "":
		// The same files; an archive has no other way to split platforms.
		entry.Type, entry.Output = client.ExporterTar, e.dir.open
		delete(entry.Attrs, "mode")
	case e.dir != nil:
		entry.OutputDir, err = e.dir.stage()
	}
	return entry, err
}

// compressFast asks for gzip's fastest level, as ko does, unless the user says how to compress. Compression then takes
// a third of the time, and a program is a tenth larger. This applies to all exports of the command's own builder, to
// files and to pushed images: BuildKit keeps a layer as it was first compressed, so otherwise a digest would depend on
// earlier exports.
func compressFast(attrs map[string]string) {
	if attrs["compression"] == "" && attrs["compression-level"] == "" {
		attrs["compression-level"] = "1"
	}
}

// parseAllow checks --allow.
func parseAllow(values []string) ([]string, error) {
	for _, v := range values {
		if _, _, err := entitlements.Parse(v); err != nil {
			return nil, fmt.Errorf("--allow %q: %w", v, err)
		}
	}
	return values, nil
}
