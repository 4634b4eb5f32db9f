package main

import (
	"fmt"
	"regexp"
)

// A stock holds the numbers of a bundle that the picture shows.
type stock struct{ modules, toolchains, hashes, size string }

var verified = regexp.MustCompile(`^\S+ is whole: \d+ blobs \((\S+)\), (\d+) modules, .* (\d+) toolchains, .* vouches for (\d+) hashes`)

// readStock reads the output of "larder bundle verify".
func readStock(line []byte) (stock, error) {
	m := verified.FindStringSubmatch(string(line))
	if m == nil {
		return stock{}, fmt.Errorf("%q isn't what larder bundle verify prints", line)
	}
	return stock{size: m[1], modules: m[2], toolchains: m[3], hashes: m[4]}, nil
}

// airGap draws how a bundle crosses an air gap.
func airGap(k stock) string {
	const width, height, small = 960.0, 330.0, 150.0
	s := newSVG("The way of a bundle over an air gap", width, height)
	s.text(190, 24, "middle", "bold", "with a network")
	s.text(770, 24, "middle", "bold", "behind the gap")
	fmt.Fprintf(s, `<path d="M480 40V300" stroke="#808890" stroke-width="2" stroke-dasharray="7 6"/>`+"\n")
	s.text(480, 320, "middle", "normal", "a disk, or a registry")

	for i, source := range []string{"your repositories", "module proxy, git", "checksum database", "registries"} {
		y := 80 + 60*float64(i)
		s.arrow(10+small, y, 210, 170)
		s.box(blue, 10+small/2, y, small, 40, source)
	}
	stocked := []string{
		"a bundle, such as that", "of examples/hello:", k.modules + " modules", k.toolchains + " toolchain",
		k.hashes + " sums of the database", k.size,
	}
	s.box(orange, 300, 170, 180, 130, stocked...)
	s.text(300, 92, "middle", "normal", "larder bundle create")
	s.text(300, 255, "middle", "normal", "larder bundle sign")
	s.arrow(390, 170, 570, 170)
	s.box(orange, 640, 170, 140, 60, "the same bundle")
	s.text(640, 128, "middle", "normal", "larder bundle verify")
	for i, user := range []string{"larder build", "docker buildx build", "docker buildx bake", "GOPROXY for desks"} {
		y := 80 + 60*float64(i)
		s.arrow(710, 170, width-10-small, y)
		s.box(green, width-10-small/2, y, small, 40, user)
	}
	return s.end()
}
