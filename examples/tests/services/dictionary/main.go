// Command dictionary answers whether it knows a word: GET /WORD is 200 or 404. It stands for any server that tests need.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "dictionary:", err)
		os.Exit(1)
	}
	fmt.Println("http://" + l.Addr().String()) // for whoever has started it
	err = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(" i like my peas ", " "+strings.TrimPrefix(r.URL.Path, "/")+" ") {
			http.NotFound(w, r)
		}
	}))
	fmt.Fprintln(os.Stderr, "dictionary:", err)
	os.Exit(1)
}
