package planpage

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var colour = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6})`)

// TestContrast wants all text to have the contrast that WCAG 2.2 asks for at level AA, in both colour schemes, and lines and
// marks that of its criterion 1.4.11.
func TestContrast(t *testing.T) {
	light, dark, found := strings.Cut(pageCSS, "prefers-color-scheme: dark")
	require.True(t, found)
	for name, css := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, m := range colour.FindAllStringSubmatch(css, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for _, pair := range []string{
			"ink paper", "soft paper", "link paper", "net paper", "off paper", "ink card", "soft card", "link card", "ink new-back", "soft new-back", "link new-back",
			"net net-back", "off off-back", "bad bad-back",
		} {
			front, back, _ := strings.Cut(pair, " ")
			require.GreaterOrEqual(t, contrast(colours[front], colours[back]), 4.5, "%s on %s, %s", front, back, name)
		}
		for _, mark := range []string{"new", "net", "off"} {
			require.GreaterOrEqual(t, contrast(colours[mark], colours["paper"]), 3.0, "%s, %s", mark, name)
		}
		require.GreaterOrEqual(t, contrast(colours["rail"], colours["paper"]), 3.0, "rail, %s", name)
	}
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }

// luminance returns the relative luminance of a colour, as WCAG 2.2 defines it.
func luminance(t *testing.T, hex string) (sum float64) {
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		require.NoError(t, err)
		c := float64(n) / 255
		if c <= 0.04045 {
			sum += weight * c / 12.92
		} else {
			sum += weight * math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return sum
}
