// Command worker does the jobs of the queue SPOOL until none waits. This one's work is to print them.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/spool/internal/spool"
)

func main() {
	if err := work(spool.Spool(os.Getenv("SPOOL"))); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func work(queue spool.Spool) error {
	for {
		text, err := queue.Take()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		}
		fmt.Println("done:", text)
	}
}
