//go:build bench

package bench

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const head = `# Benchmarks

Written by "make bench" on %s: %d CPUs (%s), %s, BuildKit %s, ko %s.

Times are medians of %d builds after a warm-up, of the trees other than hello of %d; cold builds and fresh runners were
measured once. All peers took turns, in one run, on one BuildKit, with the same toolchain, modules and module proxy,
by buildctl to an OCI tar; caches in the registry are compressed by zstd. What builders keep lay %s. What each was:

- larder: its image, named by a "# syntax=" line; "larder, seed": the same with a seed of the compile cache;
- larder build: the command, which is the frontend itself, on the same BuildKit;
- docker/dockerfile, mounts: the frontend built into BuildKit, and cache and bind mounts as Docker's documentation has
  them; docker/dockerfile:1 is the same by its image, which its documentation recommends; layers: go mod download in a
  layer, then COPY and go build;
- ko: on the machine itself, with its caches of modules and packages, into a tar; the toolchain is there already;
- go build: the same, and makes no image: the floor.

The ratio is that of larder to the best of the peers that the scenario is to be measured against, which are in bold; in
brackets is what Larder is to reach. [bench](../bench) has the Dockerfiles and the trees.

Where Larder is slower: it runs as a frontend's image, and starts that, reads the module and source files and plans
before BuildKit can tell that nothing has changed, which is most of the time where nothing has. After an edit it also
copies the slice and starts one more step. Cold, it takes the toolchain from the module proxy, checks and unpacks it,
where the others pull it as an image from a registry on loopback or have it; and what is imported is compiled, kept as
layers and then used, in three steps where the others have one. A new dependency has two shards of modules unpacked, all
of them merged, and packages of all modules put into their layer again: out of the compile cache, or on a fresh runner
compiled anew, but for the standard library's. An edit of what all services share starts a step for each.

![Larder's time as a part of its best peer's](benchmarks.svg)
`

// A report is what has been measured so far. It is written after each scenario, for a run takes long.
type report struct {
	t       *testing.T
	dir     string
	results []result
	pushes  []push
}

func (r *report) add(results ...result) {
	r.results = append(r.results, results...)
	var b strings.Builder
	fmt.Fprintf(&b, head, time.Now().Format("2006-01-02"), runtime.NumCPU(), cpu(r.t), runtime.Version(), buildkit(r.t), ko(r.t), runs, slowRuns, storage(r.t))
	var bars []bar
	for _, name := range r.inputs() {
		if !isGrown(name) {
			bars = append(bars, r.table(&b, name)...)
		}
	}
	r.pushed(&b)
	if slices.ContainsFunc(r.inputs(), isGrown) {
		b.WriteString("\n## How the cost grows\n\nA program that imports 10, 100 or 1,000 modules, or packages of its own tree.\n\n![Seconds by number](growth.svg)\n")
		for _, name := range r.inputs() {
			if isGrown(name) {
				r.table(&b, name)
			}
		}
		r.write("growth.svg", growthChart(r.results))
	}
	r.write("benchmarks.md", b.String())
	r.write("benchmarks.svg", chart(bars))
}

func (r *report) write(name, text string) {
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644))
}

func (r *report) inputs() (names []string) {
	for _, res := range r.results {
		if !slices.Contains(names, res.input) {
			names = append(names, res.input)
		}
	}
	return names
}

// table writes the table of one input.
func (r *report) table(b *strings.Builder, name string) (bars []bar) {
	var scenarios, peers []string
	byName := map[string]result{}
	for _, res := range r.results {
		if res.input != name {
			continue
		}
		if !slices.Contains(scenarios, res.scenario) {
			scenarios = append(scenarios, res.scenario)
		}
		if !slices.Contains(peers, res.peer) {
			peers = append(peers, res.peer)
		}
		byName[res.scenario+"|"+res.peer] = res
	}
	fmt.Fprintf(b, "\n### %s\n\n| scenario | %s | ratio |\n| --- |%s --- |\n", name, strings.Join(peers, " | "), strings.Repeat(" --- |", len(peers)))
	for _, s := range scenarios {
		row, best := []string{s}, time.Duration(0)
		for _, p := range peers {
			res, ok := byName[s+"|"+p]
			cell := ""
			if ok {
				cell = fmt.Sprintf("%.2f s", res.median.Seconds())
			}
			if res.against {
				cell = "**" + cell + "**"
				if best == 0 || res.median < best {
					best = res.median
				}
			}
			row = append(row, cell)
		}
		ours := byName[s+"|"+gateway]
		ratio := ours.median.Seconds() / best.Seconds()
		goal := ""
		if ours.goal > 0 {
			goal = fmt.Sprintf(" (%g)", ours.goal)
		}
		fmt.Fprintf(b, "| %s | %.2f%s |\n", strings.Join(row, " | "), ratio, goal)
		bars = append(bars, bar{name + ": " + s, ratio, ours.goal})
	}
	return bars
}

// pushed writes what one more dependency makes a registry get.
func (r *report) pushed(b *strings.Builder) {
	if len(r.pushes) == 0 {
		return
	}
	b.WriteString("\n### Bytes of module layers pushed when one dependency is added\n\n| tree | pushed | of | part (at most 15 %) |\n| --- | --- | --- | --- |\n")
	for _, p := range r.pushes {
		fmt.Fprintf(b, "| %s | %d | %d | %.1f %% |\n", p.input, p.pushed, p.all, 100*float64(p.pushed)/float64(p.all))
	}
}

func cpu(t *testing.T) string {
	data, err := os.ReadFile("/proc/cpuinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t: \n")
		}
	}
	return runtime.GOARCH
}

// storage says where temporary folders are, and with them the state of builders.
func storage(t *testing.T) string {
	var st unix.Statfs_t
	require.NoError(t, unix.Statfs(os.TempDir(), &st))
	if st.Type == unix.TMPFS_MAGIC {
		return "in memory: ext4 makes files slowly for minutes after others were removed, as builders are here"
	}
	return "on a disk"
}

func ko(t *testing.T) string {
	info, err := buildinfo.ReadFile(filepath.Join(testkit.Root(t), "bin", "tools", "ko"))
	require.NoError(t, err, "run 'make bench', which builds it")
	return info.Main.Version
}

func buildkit(t *testing.T) string {
	return strings.TrimSpace(testkit.Run(t, "go", "-C", testkit.Root(t), "list", "-m", "-f", "{{.Version}}", "github.com/moby/buildkit"))
}
