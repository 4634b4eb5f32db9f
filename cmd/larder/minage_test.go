package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// No bundle is made of what is too young, or of no known age, and the one that was there stays.
func TestBundleMinAge(t *testing.T) {
	w := newWorld(t) // its modules are of 2020-01-01
	dir := t.TempDir()
	stock := filepath.Join(dir, "stock")
	w.env = append(w.env, "SOURCE_DATE_EPOCH=1578268800") // 2020-01-06
	create := func(more ...string) []string {
		return append([]string{"bundle", "create", "--no-images", "-o", stock}, append(more, w.context)...)
	}
	out := w.fails(create("--min-age", "7d")...)
	require.Contains(t, out, "a.example/greet@v1.2.0 was released on 2020-01-01 00:00 UTC, less than 7d ago")
	require.Contains(t, out, "b.example/Name/v2@v2.0.1 was released on 2020-01-01 00:00 UTC, less than 7d ago")
	require.NoFileExists(t, filepath.Join(stock, "index.json"))
	require.Contains(t, w.larder(create("--min-age", "5d")...), "2 modules")
	index, err := os.ReadFile(filepath.Join(stock, "index.json"))
	require.NoError(t, err)

	// What a bundle has already isn't let in by that.
	out = w.fails(create("--min-age", "7d", "--min-age-exempt", "b.example")...)
	require.Contains(t, out, "a.example/greet@v1.2.0")
	require.NotContains(t, out, "b.example")
	require.Contains(t, w.fails("bundle", "create", "--no-images", "--min-age", "7d", "--since", stock, "-o", filepath.Join(dir, "delta"), w.context), "less than 7d ago")
	require.Contains(t, w.larder(create("--min-age", "7d", "--min-age-exempt", "a.example/*", "--min-age-exempt", "b.example")...), "2 modules")
	now, err := os.ReadFile(filepath.Join(stock, "index.json"))
	require.NoError(t, err)
	require.Equal(t, string(index), string(now))
	require.Contains(t, w.fails("audit", "--bundle", stock, "--min-age", "7d"), "error: [young] a.example/greet@v1.2.0 was released on 2020-01-01 00:00 UTC, less than 7d ago")
	require.NotContains(t, w.larder("audit", "--bundle", stock, "--min-age", "5d"), "[young]")

	// A module without an .info, or with one that tells no time, is none of a known age, wherever it is taken from.
	info := filepath.Join(w.proxy, "a.example/greet/@v/v1.2.0.info")
	for _, text := range []string{"", `{"Version":"v1.2.0"}`, "nonsense"} {
		require.NoError(t, os.RemoveAll(info))
		if text != "" {
			require.NoError(t, os.WriteFile(info, []byte(text), 0o644))
		}
		stock = filepath.Join(t.TempDir(), "stock")
		require.Contains(t, w.fails(create("--min-age", "1d")...), "nobody tells when a.example/greet@v1.2.0 was released: no .info is at hand that has its time")
		w.larder(create()...)
		require.Contains(t, w.fails(create("--min-age", "1d")...), "nobody tells when a.example/greet@v1.2.0 was released")
		from := stock
		stock = filepath.Join(t.TempDir(), "stock")
		offline := *w
		offline.ns, offline.env = testkit.Offline(t), []string{"GOPROXY=off", "SOURCE_DATE_EPOCH=1578268800"}
		require.Contains(t, offline.fails(create("--min-age", "1d", "--from", from)...), "nobody tells when a.example/greet@v1.2.0 was released")
	}
}
