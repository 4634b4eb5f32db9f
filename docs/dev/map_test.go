// Package dev_test checks the documents for contributors against the tree.
package dev_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/larder-build/larder/"

// The map of packages has every package of the tree but those of documents and examples, once, and no other.
func TestPackageMap(t *testing.T) {
	out, err := exec.Command("go", "list", module+"...").Output()
	require.NoError(t, err)
	var want []string
	for name := range strings.FieldsSeq(string(out)) {
		name = strings.TrimPrefix(name, module)
		if top, _, _ := strings.Cut(name, "/"); slices.Contains([]string{"cmd", "frontend", "llb", "internal"}, top) {
			want = append(want, name)
		}
	}
	require.NotEmpty(t, want)
	text, err := os.ReadFile("architecture.md")
	require.NoError(t, err)
	var got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		got = append(got, row[1])
	}
	slices.Sort(got)
	slices.Sort(want)
	require.Equal(t, want, got)
}
