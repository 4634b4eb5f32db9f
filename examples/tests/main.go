// Command wordfreq prints the words of its standard input, the most frequent first.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"example.com/wordfreq/internal/count"
	"example.com/wordfreq/internal/known"
)

func main() {
	dictionary := flag.String("known", "", "print only words that the dictionary at this `URL` knows")
	top := flag.Int("top", 10, "print no more than `n` words")
	flag.Parse()
	words, err := count.Words(os.Stdin)
	if err == nil && *dictionary != "" {
		words, err = known.Words(context.Background(), *dictionary, words)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "wordfreq:", err)
		os.Exit(1)
	}
	for _, w := range words[:min(max(*top, 0), len(words))] {
		fmt.Printf("%7d %s\n", w.Count, w.Text)
	}
}
