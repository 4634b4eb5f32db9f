// Command worker is one of two commands in a workspace.
package main

import (
	"fmt"

	"example.com/shared"
)

func main() { fmt.Println(shared.Hello("worker")) }
