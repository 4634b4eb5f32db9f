// Package shared has the code that both commands use.
package shared

import "fmt"

// Hello greets in the name of a command.
func Hello(command string) string { return fmt.Sprintf("hello from %s, of a workspace", command) }
