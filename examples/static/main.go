// Command clock tells the time in the time zones that it is given. The zones are files of the system, which most bare
// images lack: it shows that FROM static has them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// version is set by the linker: see the Dockerfile.
var version = "unknown"

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "clock:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("clock", flag.ContinueOnError)
	now := time.Now()
	flags.Func("at", "tell this `time`, such as 2026-01-02T15:04:05Z, and not the present one", func(s string) (err error) {
		now, err = time.Parse(time.RFC3339, s)
		return err
	})
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *showVersion {
		_, err := fmt.Fprintln(out, "clock", version)
		return err
	}
	for _, name := range flags.Args() {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %s\n", now.In(zone).Format("2006-01-02 15:04 MST"), name)
	}
	return nil
}
