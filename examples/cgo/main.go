// Mkhash reads passwords, one on each line, and writes their hashes for /etc/shadow. The hashing is the C library's, so
// that it knows what the system knows.
package main

import (
	"bufio"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	salt := flag.String("salt", "", "`setting` to hash with, such as $6$SALT; a new one for each password if empty")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *salt); err != nil {
		fmt.Fprintln(os.Stderr, "mkhash:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, salt string) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		setting := salt
		if setting == "" {
			setting = "$6$" + rand.Text()[:16]
		}
		hash, err := crypt(lines.Text(), setting)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, hash); err != nil {
			return err
		}
	}
	return lines.Err()
}
