package llb

import (
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/moby/buildkit/client/llb"
)

// A ModuleSource is where the zips of a module set come from.
type ModuleSource struct {
	Folders []llb.State // GOPROXY folders: those that GOPROXY names as ProxyFolder(i), or the only source if GOPROXY is empty
	GOPROXY string      // the list to fetch from; empty if the first folder is all there is
	Network bool        // the list names more than folders

	GOPRIVATE, GONOPROXY string
	Label                string // what the source is called in the progress display
}

// ProxyFolder returns the file URL at which a fetch step sees folder i of its source.
func ProxyFolder(i int) string { return "file://" + path.Join(inDir, strconv.Itoa(i)) }

// Modules returns a module cache, as GOMODCACHE is laid out, that holds a set and no zips: what a read-only build needs.
// Only the fetch step has a network; the step that checks every hash against the set and unpacks has none. The set is
// given in canonical form, so that go.sum's order and unrelated files don't change the key.
func (b Builder) Modules(set gomod.Set, from ModuleSource) llb.State {
	count := len(set.Zips())
	sums := llb.AddMount("/sums", b.file("/go.sum", "[modules] list "+set.Key()[:12], set.Text()), llb.Readonly)
	var folder llb.State
	if from.GOPROXY == "" {
		folder = from.Folders[0]
	} else {
		args := []string{"fetch", "--sums", "/sums/go.sum", "--out", outDir}
		opts := []llb.RunOption{sums, goSettings("GOPROXY", from.GOPROXY, "GOPRIVATE", from.GOPRIVATE, "GONOPROXY", from.GONOPROXY)}
		if from.Network {
			opts = append(opts, b.network())
		}
		for i, f := range from.Folders {
			opts = append(opts, llb.AddMount(path.Join(inDir, strconv.Itoa(i)), f, llb.Readonly))
		}
		folder = b.step(fmt.Sprintf("[modules] fetch %d modules from %s", count, from.Label), args, opts...)
	}
	return b.step(fmt.Sprintf("[modules] check and unpack %d modules", count),
		[]string{"unpack", "--sums", "/sums/go.sum", "--from", inDir, "--out", outDir},
		sums, llb.AddMount(inDir, folder, llb.Readonly))
}

// ModuleFiles returns the paths, in a GOPROXY folder or a module cache, of all files that a set needs, sorted.
func ModuleFiles(set gomod.Set) ([]string, error) {
	var files []string
	for ext, sums := range map[string][]gomod.Sum{".zip": set.Zips(), ".mod": set.GoMods()} {
		for _, s := range sums {
			file, err := s.File(ext)
			if err != nil {
				return nil, err
			}
			files = append(files, file, path.Join("cache/download", file))
		}
	}
	slices.Sort(files)
	return files, nil
}

// ProxyRoot is the file URL at which a step sees the one folder that it is given.
const ProxyRoot = "file://" + inDir
