// Command enqueue puts each of its arguments into the queue SPOOL as a job, and prints their names.
package main

import (
	"fmt"
	"os"

	"example.com/spool/internal/spool"
)

func main() {
	queue := spool.Spool(os.Getenv("SPOOL"))
	for _, text := range os.Args[1:] {
		name, err := queue.Add(text)
		if err != nil {
			fmt.Fprintln(os.Stderr, "enqueue:", err)
			os.Exit(1)
		}
		fmt.Println(name)
	}
}
