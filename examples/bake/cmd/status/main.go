// Command status prints how many jobs wait in the queue SPOOL.
package main

import (
	"fmt"
	"os"

	"example.com/spool/internal/spool"
)

func main() {
	names, err := spool.Spool(os.Getenv("SPOOL")).Waiting()
	if err != nil {
		fmt.Fprintln(os.Stderr, "status:", err)
		os.Exit(1)
	}
	fmt.Println("waiting:", len(names))
}
