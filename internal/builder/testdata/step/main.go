// Step is what the tests run in a build: `step write FILE TEXT`, `step dial
// ADDRESS`, `step get URL…` and `step sleep`, which says that it runs and never
// ends by itself.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	var err error
	switch args := os.Args[1:]; args[0] {
	case "write":
		err = os.WriteFile(args[1], []byte(args[2]), 0o644)
	case "dial":
		_, err = net.Dial("tcp", args[1])
	case "get":
		for _, url := range args[1:] {
			if err = get(url); err != nil {
				break
			}
		}
	case "sleep":
		fmt.Println("asleep")
		time.Sleep(24 * time.Hour)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func get(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%d %s\n", resp.StatusCode, body)
	return err
}
