// Command tools is a command of another module of the tree.
package main

import "fmt"

func main() { fmt.Println("tools") }
