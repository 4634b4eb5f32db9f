// Command greet greets its arguments, in one of the languages that it has texts for.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"example.com/greet/internal/texts"
)

func main() {
	language := flag.String("lang", "en", "greet in this `language`")
	flag.Parse()
	greeting, ok := texts.Get(*language, "greeting")
	if !ok {
		fmt.Fprintf(os.Stderr, "greet: no texts in %q: there are some in %q\n", *language, texts.Languages())
		os.Exit(1)
	}
	for _, name := range flag.Args() {
		fmt.Println(strings.ReplaceAll(greeting, "NAME", name))
	}
}
