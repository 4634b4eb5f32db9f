// Command api is one of two commands in a workspace.
package main

import (
	"crypto/fips140"
	"fmt"

	"example.com/shared"
)

func main() {
	fmt.Println(shared.Hello("api"))
	fmt.Println("FIPS 140:", fips140.Enabled())
}
