package display

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

func TestTerminal(t *testing.T) {
	s := testkit.NewScreen(t, 38, 10)
	_, err := io.WriteString(s.TTY, "$ larder bundle create -o b .\n")
	require.NoError(t, err)
	c := newClock()
	d, err := New(s.TTY, "auto", map[string]string{"TERM": "xterm"}, c)
	require.NoError(t, err)
	const prompt = "$ larder bundle create -o b ."
	require.Equal(t, prompt, s.See())

	d.Begin("get modules", 456, 0)
	c.pass(d, 100*time.Millisecond)
	require.Equal(t, prompt+"\nget modules: 0 of 456, 100ms", s.See())
	for _, name := range []string{"a", "b", "c", "d"} {
		d.At(name+".example/module@v1.0.0", 1_000_000, 0)
	}
	c.pass(d, 12*time.Second)
	require.Equal(t, prompt+`
get modules: 0 of 456, 4MB, 12s
  a.example/module@v1.0.0 1MB
  b.example/module@v1.0.0 1MB
  c.example/module@v1.0.0 1MB`, s.See())
	d.Done("b.example/module@v1.0.0", 1_200_000)
	d.Done("d.example/module@v1.0.0", 1_200_000)
	d.At("a.example/module@v1.0.0", 2_000_000, 123_000_000)
	c.pass(d, time.Second)
	require.Equal(t, prompt+`
get modules: 2 of 456, 5.4MB, 13s
  a.example/module@v1.0.0 2MB of 1...
  c.example/module@v1.0.0 1MB`, s.See(), "lines that are gone leave nothing, and none is wider than the screen")

	d.Warn("it is late")
	require.Equal(t, prompt+"\nWARNING: it is late", s.See())
	c.pass(d, time.Second)
	require.Equal(t, prompt+`
WARNING: it is late
get modules: 2 of 456, 5.4MB, 14s
  a.example/module@v1.0.0 2MB of 1...
  c.example/module@v1.0.0 1MB`, s.See())

	d.Begin("check blobs", 2, 4000)
	d.Done("sha256:12", 1000)
	c.pass(d, time.Second)
	require.Equal(t, prompt+"\nWARNING: it is late\ncheck blobs: 1 of 2, 1kB of 4kB, 1s\n  sha256:12", s.See())
	d.Miss("x")
	d.Close()
	require.Equal(t, prompt+"\nWARNING: it is late", s.See(), "what stays is what was said")
	_, err = io.WriteString(s.TTY, "b: sha256:34\n")
	require.NoError(t, err)
	require.Equal(t, prompt+"\nWARNING: it is late\nb: sha256:34", s.See())
}

// At the bottom of a small screen, and on one that is made smaller, the lines stay in their place.
func TestSmallScreen(t *testing.T) {
	s := testkit.NewScreen(t, 30, 3)
	_, err := io.WriteString(s.TTY, "1\n2\n3\n$ larder\n")
	require.NoError(t, err)
	c := newClock()
	d, err := New(s.TTY, "tty", nil, c)
	require.NoError(t, err)
	d.Begin("get modules", 9, 0)
	for range 5 {
		d.At("a.example/a-module-of-a-long-name@v1.0.0", 1, 0)
		d.At("b.example/b@v1.0.0", 1, 0)
		d.At("c.example/c@v1.0.0", 1, 0)
		c.pass(d, time.Second)
	}
	require.Equal(t, "$ larder\nget modules: 0 of 9, 3B, 5s\n  a.example/a-module-of-a-...", s.See())
	s.Resize(12, 2)
	c.pass(d, time.Second)
	require.Equal(t, "$ larder\nget modu...", s.See())
	d.Close()
	require.Equal(t, "$ larder", s.See())
}

// codes are the escape codes that the display may write.
var codes = regexp.MustCompile("\r|\n|\x1b\\[[AK]")

func TestHostileTextOnTerminal(t *testing.T) {
	s := testkit.NewScreen(t, 60, 12)
	c := newClock()
	d, err := New(s.TTY, "auto", nil, c)
	require.NoError(t, err)
	attack(d, c)
	s.See()
	d.Begin("日本語", 0, 0)
	d.At(strings.Repeat("日本語", 50), 1, 0)
	c.pass(d, time.Second)
	screen := s.See()
	require.NotContains(t, screen, "ERROR: none\n")
	for _, line := range strings.Split(screen, "\n") {
		require.False(t, strings.HasPrefix(line, "ERROR"), screen)
	}
	d.Close()
	s.See()
	clean(t, codes.ReplaceAllString(s.Written(), ""))
}

// Where there is no terminal that can be changed, there is no escape code.
func TestNoEscapeCodes(t *testing.T) {
	for _, tt := range []struct {
		mode string
		env  map[string]string
		want string // plain, or tty
	}{
		{"auto", nil, "tty"},
		{"tty", map[string]string{"TERM": "vt100"}, "tty"},
		{"auto", map[string]string{"TERM": "dumb"}, "plain"},
		{"tty", map[string]string{"TERM": "dumb"}, "plain"},
		{"auto", map[string]string{"NO_COLOR": "1"}, "plain"},
		{"tty", map[string]string{"NO_COLOR": "1"}, "plain"},
		{"auto", map[string]string{"NO_COLOR": ""}, "tty"}, // as https://no-color.org has it
		{"plain", nil, "plain"},
		{"quiet", nil, "plain"},
		{"none", nil, "plain"},
		{"json", nil, "plain"},
	} {
		s := testkit.NewScreen(t, 80, 24)
		c := newClock()
		d, err := New(s.TTY, tt.mode, tt.env, c)
		require.NoError(t, err)
		work(d, c)
		d.Close()
		s.See()
		require.Equal(t, tt.want == "tty", strings.Contains(s.Written(), "\x1b"), "%v", tt)
	}
}
