// Step is what the tests run in a build: `step write FILE TEXT`, `step dial
// ADDRESS` and `step sleep`, which says that it runs and never ends by itself.
package main

import (
	"fmt"
	"net"
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
	case "sleep":
		fmt.Println("asleep")
		time.Sleep(24 * time.Hour)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
