// Command probe tells what a program finds in the image that it runs in: who it is, the time zones and certificate
// authorities that it is asked about, and its static files.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/user"
	"time"
)

func main() {
	zone := flag.String("zone", "", "look for this time zone")
	trusts := flag.String("trusts", "", "look whether the certificate in this file is among the system's roots")
	flag.Parse()
	if err := probe(*zone, *trusts); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func probe(zone, trusts string) error {
	name := "nobody known"
	if u, err := user.LookupId(fmt.Sprint(os.Getuid())); err == nil {
		name = u.Username + " of " + u.HomeDir
	}
	fmt.Printf("user %d, group %d, %s\n", os.Getuid(), os.Getgid(), name)
	if zone != "" {
		if _, err := time.LoadLocation(zone); err != nil {
			return err
		}
		fmt.Println("time zone", zone)
	}
	if trusts != "" {
		if err := trusted(trusts); err != nil {
			return fmt.Errorf("%s: %w", trusts, err)
		}
		fmt.Println("trusts", trusts)
	}
	if dir := os.Getenv("KO_DATA_PATH"); dir != "" {
		files, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			fmt.Println("static file", f.Name())
		}
	}
	return nil
}

// trusted reports whether a certificate is one of the system's roots.
func trusted(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return errors.New("no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return err
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots})
	return err
}
