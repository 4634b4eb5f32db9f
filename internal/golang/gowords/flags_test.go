package gowords

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlags(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                     nil,
		" -v\t-tags=a,b ":                      {"-v", "-tags=a,b"},
		`'-ldflags=-s -w' "-tags=a"`:           {"-ldflags=-s -w", "-tags=a"},
		"-mod=readonly -modcacherw":            {"-mod=readonly", "-modcacherw"},
		`'-ldflags=-X main.f=-overlay=x' -mod`: {"-ldflags=-X main.f=-overlay=x", "-mod"},
	} {
		words, err := Flags(text)
		require.NoError(t, err, text)
		require.Equal(t, want, words, text)
	}
	for text, want := range map[string]string{
		"-v --mod=mod":        "--mod=mod is refused there, as it changes what is built out of sight: write it on the GO line itself",
		`"-toolexec=x y"`:     "-toolexec=x y is refused there",
		"-exec":               "-exec is refused there",
		"--overlay=/o.json":   "--overlay=/o.json is refused there",
		"-modfile=other.mod ": "-modfile=other.mod is refused there",
		"'-v":                 "unterminated ' string",
	} {
		_, err := Flags(text)
		require.ErrorContains(t, err, want, text)
	}
}
