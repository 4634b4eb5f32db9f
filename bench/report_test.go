//go:build bench

package bench

import (
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
)

const head = `# Benchmarks

Written by "make bench" on %s: %d CPUs (%s), %s, BuildKit %s.
Times are medians of %d builds after a warm-up or, for cold builds and fresh runners, means of %d. All peers took turns,
in one run, on one BuildKit, with the same toolchain, modules and module proxy, by buildctl to an OCI tar.

The ratio is Larder's time to that of the best docker/dockerfile. "go build" on the host is the floor: it makes no image.
[bench](../bench) has the Dockerfiles and the trees.

Where Larder is slower: it runs as a frontend's image, and starts that, reads the module and source files and plans
before BuildKit can tell that nothing has changed, which is most of the time where nothing has. After an edit it also
copies the slice and starts one more step. Cold, it takes the toolchain from the module proxy, checks and unpacks it,
where the others pull it as an image from a registry on loopback; and what is imported is compiled, kept as a layer and
then used, in two steps where the others have one.

![Larder's time as a part of its best peer's](benchmarks.svg)
`

// writeReport writes benchmarks.md and its chart.
func writeReport(t *testing.T, dir string, all []result) {
	var b strings.Builder
	fmt.Fprintf(&b, head, time.Now().Format("2006-01-02"), runtime.NumCPU(), cpu(t), runtime.Version(), buildkit(t), runs, coldRuns)
	var names []string
	for _, r := range all {
		if !slices.Contains(names, r.input) {
			names = append(names, r.input)
		}
	}
	var bars []bar
	for _, name := range names {
		bars = append(bars, writeTable(&b, name, all)...)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(b.String()), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "benchmarks.svg"), []byte(chart(bars)), 0o644))
}

// writeTable writes the table of one input.
func writeTable(b *strings.Builder, name string, all []result) (bars []bar) {
	var scenarios, peers []string
	took := map[string]time.Duration{}
	for _, r := range all {
		if r.input != name {
			continue
		}
		if !slices.Contains(scenarios, r.scenario) {
			scenarios = append(scenarios, r.scenario)
		}
		if !slices.Contains(peers, r.peer) {
			peers = append(peers, r.peer)
		}
		took[r.scenario+"|"+r.peer] = r.median
	}
	fmt.Fprintf(b, "\n## %s\n\n| scenario | %s | ratio |\n| --- |%s --- |\n", name, strings.Join(peers, " | "), strings.Repeat(" --- |", len(peers)))
	for _, s := range scenarios {
		row, best := []string{s}, time.Duration(0)
		for _, p := range peers {
			d, ok := took[s+"|"+p]
			if !ok {
				row = append(row, "")
				continue
			}
			row = append(row, fmt.Sprintf("%.2f s", d.Seconds()))
			if strings.HasPrefix(p, "docker") && (best == 0 || d < best) {
				best = d
			}
		}
		ratio := took[s+"|larder"].Seconds() / best.Seconds()
		fmt.Fprintf(b, "| %s | %.2f |\n", strings.Join(row, " | "), ratio)
		bars = append(bars, bar{name + ": " + s, ratio})
	}
	return bars
}

// A bar is a row of the chart.
type bar struct {
	label string
	ratio float64
}

// chart draws the ratios, with a line where Larder takes as long as its best peer.
func chart(bars []bar) string {
	const row, left, unit = 26, 430, 320
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+unit*3/2+60, row*(len(bars)+1))
	for i, r := range bars {
		y, width := i*row, int(min(r.ratio, 1.5)*unit)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%d" height="%d" fill="#3b7a57"/><text x="%d" y="%d">%.2f</text>`+"\n",
			left-8, y+17, r.label, left, y+4, width, row-8, left+width+6, y+17, r.ratio)
	}
	fmt.Fprintf(&b, `<line x1="%d" y1="0" x2="%d" y2="%d" stroke="#999" stroke-dasharray="4"/><text x="%d" y="%d" fill="#666">1.0: the best docker/dockerfile</text>`+"\n</svg>\n",
		left+unit, left+unit, row*len(bars), left+unit-90, row*len(bars)+17)
	return b.String()
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

func buildkit(t *testing.T) string {
	return strings.TrimSpace(testkit.Run(t, "go", "-C", testkit.Root(t), "list", "-m", "-f", "{{.Version}}", "github.com/moby/buildkit"))
}
