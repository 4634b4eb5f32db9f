package planner

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every rule is documented, in the order of the code, and no other is.
func TestRules(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/dialect.md")
	require.NoError(t, err)
	var documented, want []string
	for _, heading := range regexp.MustCompile(`(?m)^### (Go[A-Z]\w+)\n\n[A-Z\x60]`).FindAllSubmatch(text, -1) {
		documented = append(documented, string(heading[1]))
	}
	for _, r := range rules {
		want = append(want, r.Name)
		require.NotEmpty(t, r.Description)
	}
	require.Equal(t, want, documented)
}
