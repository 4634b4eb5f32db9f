package display

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// clock is a Clock that goes when a test says so.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	ticks chan time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), ticks: make(chan time.Time)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Ticks(time.Duration) (<-chan time.Time, func()) { return c.ticks, func() {} }

// pass lets time pass, after which the display looks at its step.
func (c *clock) pass(d *Display, by time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(by)
	c.mu.Unlock()
	d.tick()
}

// shown returns what a display writes to a file, in a mode.
func shown(t *testing.T, mode string, use func(d *Display, c *clock)) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer f.Close()
	c := newClock()
	d, err := New(f, mode, nil, c)
	require.NoError(t, err)
	use(d, c)
	d.Close()
	text, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	return string(text)
}

// work is a command with two steps.
func work(d *Display, c *clock) {
	d.Begin("get modules", 3, 0)
	d.Done("a.example/m@v1.0.0", 1500)
	c.pass(d, 4900*time.Millisecond)
	d.At("b.example/m@v1.0.0", 0, 0)
	c.pass(d, 200*time.Millisecond)
	d.At("b.example/m@v1.0.0", 2_000_000, 0)
	c.pass(d, time.Second)
	d.Warn("it\nis late")
	c.pass(d, 5*time.Second)
	d.Done("b.example/m@v1.0.0", 3_000_000)
	d.Done("c.example/m@v1.0.0", 0)
	d.Begin("check blobs", 2, 4000)
	d.At("sha256:12", 1000, 3000)
	c.pass(d, 90*time.Second)
	d.End()
	c.pass(d, time.Hour)
	d.Note("all is well")
}

func TestPlain(t *testing.T) {
	require.Equal(t, `get modules: 1 of 3, 1.5kB, 5.1s
WARNING: it is late
get modules: 1 of 3, 2.002MB, 11s
get modules: 3 of 3, 3.002MB, 11s
check blobs: 0 of 2, 1kB of 4kB, 1m30s
check blobs: 0 of 2, 1kB of 4kB, 1m30s
all is well
`, shown(t, "plain", work))
}

// What takes long is told of ever more rarely, and nothing is told twice.
func TestPlainIsBrief(t *testing.T) {
	text := shown(t, "auto", func(d *Display, c *clock) {
		d.Begin("answer requests", 0, 0)
		for range 24 * 60 * 60 {
			d.Done("/a.example/m/@v/list", 100)
			c.pass(d, time.Second)
		}
		for range 100 {
			c.pass(d, time.Hour)
		}
	})
	n := strings.Count(text, "\n")
	require.Greater(t, n, 20)
	require.Less(t, n, 120)
}

func TestQuiet(t *testing.T) {
	for _, mode := range []string{"quiet", "none"} {
		require.Equal(t, "WARNING: it is late\nall is well\n", shown(t, mode, func(d *Display, c *clock) {
			work(d, c)
			d.Miss("a")
		}))
	}
}

func TestJSON(t *testing.T) {
	require.Equal(t, `{"schema":1,"time":"2026-11-28T12:00:00Z","event":"begin","step":"get modules","total":3}
{"schema":1,"time":"2026-11-28T12:00:04.9Z","event":"progress","step":"get modules","done":1,"total":3,"bytes":1500,"elapsed":4.9,"item":"a.example/m@v1.0.0"}
{"schema":1,"time":"2026-11-28T12:00:06.1Z","event":"progress","step":"get modules","done":1,"total":3,"bytes":2001500,"elapsed":6.1,"item":"b.example/m@v1.0.0"}
{"schema":1,"time":"2026-11-28T12:00:06.1Z","event":"warning","text":"it is late"}
{"schema":1,"time":"2026-11-28T12:00:11.1Z","event":"end","step":"get modules","done":3,"total":3,"bytes":3001500,"elapsed":11.1}
{"schema":1,"time":"2026-11-28T12:00:11.1Z","event":"begin","step":"check blobs","total":2,"totalBytes":4000}
{"schema":1,"time":"2026-11-28T12:01:41.1Z","event":"progress","step":"check blobs","total":2,"bytes":1000,"totalBytes":4000,"elapsed":90,"item":"sha256:12"}
{"schema":1,"time":"2026-11-28T12:01:41.1Z","event":"end","step":"check blobs","total":2,"bytes":1000,"totalBytes":4000,"elapsed":90}
{"schema":1,"time":"2026-11-28T13:01:41.1Z","event":"note","text":"all is well"}
`, shown(t, "json", work))
}

// hostile is text that would take over a terminal, or look like lines of Larder's own.
const hostile = "m\x1b[2J\x1b]0;owned\x07\r\nERROR: none\t\u202etxt\u009b31m\u2028x\x9b1m\xff\x00\x7f\u200b"

// attack has hostile text everywhere.
func attack(d *Display, c *clock) {
	d.Begin(hostile, 9, 9)
	d.At(hostile+"1", 1, 2)
	c.pass(d, time.Minute)
	d.Done(hostile+"2", 3)
	c.pass(d, time.Hour)
	d.Warn(hostile)
	d.Note(hostile)
	d.Miss(hostile)
	_, _ = d.Write([]byte(hostile))
	c.pass(d, time.Hour)
	d.Begin("next", 1, 0)
	d.Done(strings.Repeat("\x1b[31m", 1<<20), 1)
	c.pass(d, time.Hour)
}

// clean fails if a text has something that a terminal obeys.
func clean(t *testing.T, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text), "%q", text)
	require.False(t, strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", text)
}

func TestHostileText(t *testing.T) {
	for mode, want := range map[string]int{"plain": 10, "quiet": 3, "json": 12} {
		text := shown(t, mode, attack)
		list := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		require.Len(t, list, want, "%s", mode)
		for _, line := range list {
			clean(t, line)
			require.Less(t, len(line), 20<<10)
			require.False(t, strings.HasPrefix(line, "ERROR") && !strings.HasPrefix(line, "ERROR: none  "), line)
			if mode == "json" {
				var l Line
				require.NoError(t, json.Unmarshal([]byte(line), &l))
				for _, s := range []string{l.Event, l.Step, l.Item, l.Text} {
					clean(t, s)
				}
			}
		}
	}
}

// Who asks for many things that aren't there fills neither the log nor the memory.
func TestManyMisses(t *testing.T) {
	text := shown(t, "plain", func(d *Display, _ *clock) {
		d.Begin("answer requests", 0, 0)
		for i := range 5000 {
			d.Done("x", 1)
			d.Miss(fmt.Sprint("m", i))
			d.Miss("m1")
		}
		require.LessOrEqual(t, len(d.said), maxMisses+1)
	})
	require.Equal(t, maxMisses+2, strings.Count(text, "\n"))
	require.Contains(t, text, "not there: m999\nnot there: others, which are counted from now on\n")
	require.Contains(t, text, "answer requests: 5000, 5kB, 10000 not there, 0s\n")
}

// Several goroutines tell, while others look.
func TestConcurrent(t *testing.T) {
	const workers, each = 16, 200
	for _, mode := range []string{"plain", "json", "quiet"} {
		text := shown(t, mode, func(d *Display, c *clock) {
			d.Begin("get modules", workers*each, 0)
			var all sync.WaitGroup
			for w := range workers {
				all.Go(func() {
					for i := range each {
						item := fmt.Sprint(w, "/", i)
						d.At(item, 1, 10)
						d.At(item, 5, 10)
						d.Done(item, 10)
						d.Miss(item)
						c.ticks <- c.Now()
					}
				})
			}
			all.Wait()
			d.Warn("enough")
		})
		switch mode {
		case "plain":
			require.Contains(t, text, "get modules: 3200 of 3200, 32kB, 3200 not there, 0s\n")
		case "json":
			require.Contains(t, text, `"done":3200,"total":3200,"bytes":32000,"missed":3200}`)
		}
	}
}

func TestWrongMode(t *testing.T) {
	_, err := New(os.Stderr, "rawjson", nil, newClock())
	require.EqualError(t, err, `--progress "rawjson": one of auto, json, none, plain, quiet, tty`)
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer f.Close()
	_, err = New(f, "tty", nil, newClock())
	require.EqualError(t, err, "--progress tty: standard error is no terminal: leave the flag out, or say plain")
}

// No line is wider than it may be, however wide its characters are.
func FuzzFit(f *testing.F) {
	f.Add("get modules: 1 of 3", 10)
	f.Add("日本語日本語", 7)
	f.Add(hostile, 20)
	f.Add("x", 0)
	f.Fuzz(func(t *testing.T, text string, columns int) {
		if columns < 0 || columns > 1000 {
			return
		}
		line := fit(printable(text), columns)
		clean(t, line)
		width := 0
		for _, r := range line {
			if width++; r >= 0x80 {
				width++
			}
		}
		require.LessOrEqual(t, width, columns)
	})
}
