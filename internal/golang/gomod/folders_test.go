package gomod

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPassedOver(t *testing.T) {
	for name, want := range map[string]bool{"testdata": true, "vendor": true, ".git": true, "_old": true, "": false, "a": false, "vendors": false, "node_modules": false} {
		require.Equal(t, want, PassedOver(name), name)
		require.Equal(t, want || name == "node_modules", HoldsOthers(name), name)
	}
}
