package inbuild

import (
	"archive/zip"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func zoneinfoZip(t *testing.T, names ...string) string {
	var entries []*zip.FileHeader
	for _, name := range names {
		entries = append(entries, &zip.FileHeader{Name: name})
	}
	file := filepath.Join(t.TempDir(), "zoneinfo.zip")
	require.NoError(t, os.WriteFile(file, makeZip(t, entries, func(name string) string { return "TZif " + name }), 0o644))
	return file
}

func TestStatic(t *testing.T) {
	testkit.NeedRoot(t) // to give a folder away
	zone := zoneinfoZip(t, "Africa/Abidjan", "Etc/UTC", "UTC")
	first, second := t.TempDir(), t.TempDir()
	mustStep(t, "static", "--zoneinfo", zone, "--out", first)
	mustStep(t, "static", "--zoneinfo", zone, "--out", second)
	got := snapshot(t, first)
	require.Equal(t, got, snapshot(t, second))
	var want []string
	for _, line := range got {
		fields := strings.Fields(line)
		require.Equal(t, "0", fields[2], line)
		want = append(want, strings.Join([]string{fields[0], fields[1], fields[3]}, " "))
	}
	require.Equal(t, []string{
		". drwxr-xr-x 0:0",
		"etc drwxr-xr-x 0:0",
		"etc/group -rw-r--r-- 0:0",
		"etc/nsswitch.conf -rw-r--r-- 0:0",
		"etc/passwd -rw-r--r-- 0:0",
		"etc/ssl drwxr-xr-x 0:0",
		"etc/ssl/certs drwxr-xr-x 0:0",
		"etc/ssl/certs/ca-certificates.crt -rw-r--r-- 0:0",
		"home drwxr-xr-x 0:0",
		"home/nonroot drwx------ 65532:65532",
		"root drwx------ 0:0",
		"tmp dtrwxrwxrwx 0:0",
		"usr drwxr-xr-x 0:0",
		"usr/share drwxr-xr-x 0:0",
		"usr/share/zoneinfo drwxr-xr-x 0:0",
		"usr/share/zoneinfo/Africa drwxr-xr-x 0:0",
		"usr/share/zoneinfo/Africa/Abidjan -rw-r--r-- 0:0",
		"usr/share/zoneinfo/Etc drwxr-xr-x 0:0",
		"usr/share/zoneinfo/Etc/UTC -rw-r--r-- 0:0",
		"usr/share/zoneinfo/UTC -rw-r--r-- 0:0",
	}, want)
}

func TestStaticErrors(t *testing.T) {
	failStep(t, t.TempDir(), []string{"static", "--zoneinfo", "/no/such/zip"}, "writing the static base: unpacking the time zones")
	for _, name := range []string{"../x", "/x", "a/../../x", "a//b", `a\b`} {
		parent := t.TempDir()
		failStep(t, filepath.Join(parent, "out"), []string{"static", "--zoneinfo", zoneinfoZip(t, "UTC", name)}, "is not a plain file")
		require.Empty(t, names(t, parent))
	}
}

// The file holds every root that can be trusted without a condition, each readable.
func TestRootsPEM(t *testing.T) {
	trusted, conditional := 0, 0
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			trusted++
		} else {
			conditional++
		}
	}
	require.Greater(t, trusted, 50)
	rest, found := rootsPEM(), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		_, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		found++
	}
	require.Equal(t, trusted, found)
	t.Logf("%d roots, %d left out", found, conditional)
}

// Zone files of the real toolchain load.
func TestRealZoneinfo(t *testing.T) {
	testkit.NeedRoot(t) // to give a folder away
	out := t.TempDir()
	zip := filepath.Join(goroot(t), "lib/time/zoneinfo.zip")
	mustStep(t, "static", "--zoneinfo", zip, "--out", out)
	data, err := os.ReadFile(filepath.Join(out, "usr/share/zoneinfo/America/New_York"))
	require.NoError(t, err)
	_, err = time.LoadLocationFromTZData("America/New_York", data)
	require.NoError(t, err)
}
