// Command api says what it is. It is what each Dockerfile of docs/reference/dialect.md builds.
package main

import (
	"fmt"

	"github.com/google/uuid"
)

//go:generate go run ../../internal/gen

var (
	version = "dev"
	origin  = "the repository"
)

func main() { fmt.Println(describe()) }

func describe() string {
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://example.com/api"))
	return fmt.Sprintf("api %s from %s, %s", version, origin, id)
}
