package count

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestWords(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []Word
	}{
		"nothing":      {"", nil},
		"no words":     {"-- 1 2 --", nil},
		"by frequency": {"b a b", []Word{{"b", 2}, {"a", 1}}},
		"by alphabet":  {"b a", []Word{{"a", 1}, {"b", 1}}},
		"letter case":  {"The cat. the Cat!", []Word{{"cat", 2}, {"the", 2}}},
		"inside":       {"don't «naïve»", []Word{{"don't", 1}, {"naïve", 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Words(strings.NewReader(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Tests find their files: they run in the sources' own folder.
func TestWordsOfFile(t *testing.T) {
	f, err := os.Open("testdata/rhyme.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Words(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Word{{"it", 3}, {"like", 3}, {"peas", 3}}, got[:3]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWordsFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := Words(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// Seeds, here and in testdata/fuzz, are run as tests.
func FuzzWords(f *testing.F) {
	f.Add("The cat. the Cat!")
	f.Fuzz(func(t *testing.T, text string) {
		words, err := Words(strings.NewReader(text))
		if err != nil {
			return // a word that is too long
		}
		for i, w := range words {
			if w.Text == "" || w.Count < 1 || i > 0 && w.Count > words[i-1].Count {
				t.Errorf("word %d is %+v", i, w)
			}
		}
	})
}

func BenchmarkWords(b *testing.B) {
	text := strings.Repeat("I like my peas with honey. ", 1000)
	for b.Loop() {
		if _, err := Words(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
