// Package known asks a dictionary server for words.
package known

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"example.com/wordfreq/internal/count"
)

// Words returns those words that the dictionary at a URL knows.
func Words(ctx context.Context, dictionary string, words []count.Word) ([]count.Word, error) {
	var known []count.Word
	for _, w := range words {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, dictionary+"/"+url.PathEscape(w.Text), nil)
		if err != nil {
			return nil, fmt.Errorf("asking the dictionary: %w", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, fmt.Errorf("asking the dictionary: %w", err)
		}
		res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK:
			known = append(known, w)
		case http.StatusNotFound:
		default:
			return nil, fmt.Errorf("asking the dictionary for %q: %s", w.Text, res.Status)
		}
	}
	return known, nil
}
