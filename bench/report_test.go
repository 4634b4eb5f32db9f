//go:build bench

package bench

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

"make bench" writes this page. A run of some trees alone (TESTFLAGS=-run=TestBench/hello) replaces
their tables and leaves the others. [benchmarks.json](benchmarks.json) has the figures.

Times are medians of %d builds after a warm-up, of the trees other than hello of %d; cold builds,
fresh runners and an added platform were measured once. All peers of a table took turns, in one run,
on one BuildKit, with the same toolchain, modules and module proxy, by buildctl to an OCI tar.
Caches in the registry are compressed by zstd. Where a platform was added, each peer had built the
other platform before, on a builder of its own or with caches of its own. The peers are:

- larder: its image, named by a "# syntax=" line;
- larder build: the command, which is the frontend itself, with its own builder; larder bake is the
  same for all targets of a file;
- docker/dockerfile, mounts: the frontend built into BuildKit, and cache and bind mounts as Docker's
  documentation has them; docker/dockerfile:1 is the same by its image, which its documentation
  recommends; layers: go mod download in a layer, then COPY and go build;
- ko: on the machine itself, with its caches of modules and packages, into a tar; the toolchain is
  there already;
- go build: the same, and makes no image: the floor.

Bundles are made of the modules of a tree and of a Go toolchain. Making one is measured beside the
go command, which also unpacks what it downloads. Checking one is measured beside sha256sum of the
same bytes, on all CPUs; every zip is inflated for it, since its h1 is of the files in it. Serving
one is measured beside a file server in the proxy's layout; Athens couldn't be had where this was
measured. The cold build from a bundle takes modules and toolchain alone, by the command's own
builder, beside the same from the proxy. A bundle of Larder itself also has the modules of its tools
and its examples, which the go command isn't asked for.

The ratio is Larder's time to that of the best peer in bold: those are the peers that the scenario
is measured against. The goal is in brackets. [bench](../../bench) has the Dockerfiles and the
trees.

Larder is slower in these cases:

- Nothing changed: BuildKit can only tell so after the frontend's image has started, read the module
  and source files, and planned. That is most of the time then.
- Cold: Larder takes the toolchain from the module proxy, checks and unpacks it. The others pull it
  as an image from a registry on loopback, or have it. And what is imported of the standard library
  is compiled in a step of its own.
- A new dependency: a part of the modules is unpacked anew, in a step of its own.
- A fresh runner: it copies the layers of compiled packages into its cache.
- An edit of what all services share: it starts a step for each service.

![Larder's time as a part of its best peer's](benchmarks.svg)
`

// A report is what has been measured, in this run or, of other trees, in those before. It is written after each scenario,
// for a run takes long.
type report struct {
	t      *testing.T
	dir    string
	run    string
	tables []*table
	begun  map[string]bool // the inputs that this run has measured something of
}

// A table is what one run has measured of one input.
type table struct {
	Input   string
	Run     string // when, where and by what
	Results []result
	Weights []weight `json:",omitempty"`
}

// A weight is a number of bytes, and what it is a part of.
type weight struct {
	What      string
	Bytes, Of int64
	Goal      float64 // the part to reach, at most
}

// A result is the median of one scenario for one peer.
type result struct {
	Scenario, Peer string
	Goal           float64 // the ratio to reach
	Against        bool    // the ratio is to the best of these
	Seconds        float64
}

const figures = "benchmarks.json"

func newReport(t *testing.T) *report {
	r := &report{t: t, dir: filepath.Join(testkit.Root(t), "docs", "explanation"), begun: map[string]bool{}}
	r.run = fmt.Sprintf("%s: %d CPUs (%s), %s, BuildKit %s, ko %s; what builders keep lay %s", time.Now().Format("2006-01-02"), runtime.NumCPU(), cpu(t), runtime.Version(), buildkit(t), ko(t), storage(t))
	data, err := os.ReadFile(filepath.Join(r.dir, figures))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &r.tables))
	}
	return r
}

// table returns the table of an input, which is empty when a run comes to it first.
func (r *report) table(input string) *table {
	i := slices.IndexFunc(r.tables, func(tab *table) bool { return tab.Input == input })
	if i < 0 {
		i = len(r.tables)
		r.tables = append(r.tables, nil)
	}
	if !r.begun[input] {
		r.begun[input] = true
		r.tables[i] = &table{Input: input, Run: r.run}
	}
	return r.tables[i]
}

func (r *report) add(input string, results ...result) {
	tab := r.table(input)
	tab.Results = append(tab.Results, results...)
	r.writeAll()
}

func (r *report) weigh(input string, w weight) {
	tab := r.table(input)
	tab.Weights = append(tab.Weights, w)
	fmt.Printf("%s | %s | %d of %d\n", input, w.What, w.Bytes, w.Of)
	r.writeAll()
}

func (r *report) writeAll() {
	data, err := json.MarshalIndent(r.tables, "", "\t")
	require.NoError(r.t, err)
	r.write(figures, string(data)+"\n")
	var b strings.Builder
	fmt.Fprintf(&b, head, runs, slowRuns)
	var bars []bar
	for _, tab := range r.tables {
		if !isGrown(tab.Input) {
			bars = append(bars, tab.write(&b)...)
		}
	}
	r.writeWeights(&b)
	if slices.ContainsFunc(r.tables, func(tab *table) bool { return isGrown(tab.Input) }) {
		b.WriteString("\n## How the cost grows\n\nA program that imports 10, 100 or 1,000 modules, or packages of its own tree.\n\n![Seconds by number](growth.svg)\n")
		for _, tab := range r.tables {
			if isGrown(tab.Input) {
				tab.write(&b)
			}
		}
		r.write("growth.svg", growthChart(r.tables))
	}
	r.write("benchmarks.md", b.String())
	r.write("benchmarks.svg", chart(bars))
}

func (r *report) write(name, text string) {
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644))
}

// write writes a table, and returns its bars for the chart.
func (tab *table) write(b *strings.Builder) (bars []bar) {
	var scenarios, peers []string
	byName := map[string]result{}
	for _, res := range tab.Results {
		if !slices.Contains(scenarios, res.Scenario) {
			scenarios = append(scenarios, res.Scenario)
		}
		if !slices.Contains(peers, res.Peer) {
			peers = append(peers, res.Peer)
		}
		byName[res.Scenario+"|"+res.Peer] = res
	}
	fmt.Fprintf(b, "\n### %s\n\n%s.\n\n| scenario | %s | ratio |\n| --- |%s --- |\n", tab.Input, tab.Run, strings.Join(peers, " | "), strings.Repeat(" --- |", len(peers)))
	for _, s := range scenarios {
		row, best := []string{s}, 0.0
		for _, p := range peers {
			res, ok := byName[s+"|"+p]
			cell := ""
			if ok {
				cell = fmt.Sprintf("%.2f s", res.Seconds)
			}
			if res.Against {
				cell = "**" + cell + "**"
				if best == 0 || res.Seconds < best {
					best = res.Seconds
				}
			}
			row = append(row, cell)
		}
		ours := byName[s+"|"+gateway]
		ratio := ours.Seconds / best
		goal := ""
		if ours.Goal > 0 {
			goal = fmt.Sprintf(" (%g)", ours.Goal)
		}
		fmt.Fprintf(b, "| %s | %.2f%s |\n", strings.Join(row, " | "), ratio, goal)
		bars = append(bars, bar{tab.Input + ": " + s, ratio, ours.Goal})
	}
	return bars
}

// writeWeights writes what is measured in bytes.
func (r *report) writeWeights(b *strings.Builder) {
	if !slices.ContainsFunc(r.tables, func(tab *table) bool { return len(tab.Weights) > 0 }) {
		return
	}
	b.WriteString("\n### Bytes\n\n| tree | what | bytes | of | part |\n| --- | --- | --- | --- | --- |\n")
	for _, tab := range r.tables {
		for _, w := range tab.Weights {
			fmt.Fprintf(b, "| %s | %s | %d | %d | %.3f (%g) |\n", tab.Input, w.What, w.Bytes, w.Of, float64(w.Bytes)/float64(w.Of), w.Goal)
		}
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
