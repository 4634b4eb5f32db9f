// Package greet holds a variable that the linker sets.
package greet

// Version is the release; the linker sets it.
var Version = "none"

// Line names the program and its release.
func Line() string { return "release " + Version }
