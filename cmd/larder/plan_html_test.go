package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A page tells of modules what the bundle tells that the build takes them from, without a network.
func TestPageOfBundle(t *testing.T) {
	w := newWorld(t)
	stock, page := filepath.Join(t.TempDir(), "stock"), filepath.Join(t.TempDir(), "page.html")
	w.larder("bundle", "create", "--no-images", "--no-sumdb", "-o", stock, w.context)

	offline := *w
	offline.ns, offline.env = testkit.Offline(t), []string{"GOPROXY=off", "GOMODCACHE=/nowhere", "SOURCE_DATE_EPOCH=1767225600"}
	require.Empty(t, offline.larder("plan", "--bundle", stock, "--html", page, w.context))
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "What is known of them is from the bundle.")
	require.Regexp(t, `>b\.example/Name/v2</th><td role="cell">v2\.0\.1</td><td role="cell" class="num">\d+ B</td>.*<td role="cell" class="date">2020-01-01, 6 years</td>`, string(html))
	require.Contains(t, string(html), "from the named context larder-modules")
}
