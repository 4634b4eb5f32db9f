package display

import (
	"encoding/json"
	"io"
	"time"
)

// Schema is the version of the JSON. A field that is added doesn't change it.
const Schema = 1

// A Line is one line of JSON. docs/reference/progress.md explains the fields to those who read it.
type Line struct {
	Schema     int       `json:"schema"`
	Time       time.Time `json:"time"`
	Event      string    `json:"event"`
	Step       string    `json:"step,omitempty"`
	Done       int       `json:"done,omitempty"`
	Total      int       `json:"total,omitempty"`
	Bytes      int64     `json:"bytes,omitempty"`
	TotalBytes int64     `json:"totalBytes,omitempty"`
	Missed     int       `json:"missed,omitempty"`
	Elapsed    float64   `json:"elapsed,omitempty"`
	Item       string    `json:"item,omitempty"`
	Text       string    `json:"text,omitempty"`
}

// jsonBetween is the least time between two lines that tell how far one step is.
const jsonBetween = time.Second

// lines writes JSON.
type lines struct {
	enc  *json.Encoder
	last time.Time // when a line about the step was written
}

func newLines(w io.Writer) *lines {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &lines{enc: enc}
}

// The events of a step.
const (
	began      = "begin"
	progressed = "progress"
	ended      = "end"
)

func (l *lines) begin(s *step) {
	l.last = s.began
	l.write(began, s, s.began)
}

func (l *lines) tick(s *step, now time.Time) {
	if s.changed && now.Sub(l.last) >= jsonBetween {
		l.last, s.changed = now, false
		l.write(progressed, s, now)
	}
}

func (l *lines) end(s *step, now time.Time) { l.write(ended, s, now) }

func (l *lines) write(event string, s *step, now time.Time) {
	item := s.last
	if len(s.inHand) > 0 {
		item = s.inHand[0].item
	}
	if event == ended {
		item = ""
	}
	_ = l.enc.Encode(Line{
		Schema: Schema, Time: now.UTC(), Event: event, Step: printable(s.name), Done: s.items, Total: s.total, Bytes: s.allBytes(), TotalBytes: s.totalBytes,
		Missed: s.missed, Elapsed: now.Sub(s.began).Round(time.Millisecond).Seconds(), Item: printable(item),
	})
}

func (l *lines) say(k kind, text string, now time.Time) {
	_ = l.enc.Encode(Line{Schema: Schema, Time: now.UTC(), Event: string(k), Text: text})
}
