// Command private says what a module of its company's has.
package main

import (
	"fmt"

	"git.acme.example/team/lib.git"
)

func main() { fmt.Println("this is", lib.Private) }
