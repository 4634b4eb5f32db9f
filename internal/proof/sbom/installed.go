package sbom

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Package is a package that a distribution's package manager has installed.
type Package struct {
	Kind    string // apk or deb, as package URLs have it
	Name    string
	Version string
	Arch    string
	Source  string // the package that it was built from; empty if that has the same name
	License string // as the package says, which need not be an expression of SPDX
}

// A Release has the values of /etc/os-release. They are empty if there is no such file.
type Release struct {
	ID      string // alpine, debian
	Version string // 3.22.1
}

// maxLine is the longest line of a database that is read, in bytes: dpkg's have lists of dependencies in a line.
const maxLine = 1 << 20

// ParseAPK reads /lib/apk/db/installed (apk-installed(5)): paragraphs of lines that begin with a letter and a colon.
func ParseAPK(data []byte) ([]Package, error) {
	var list []Package
	p := Package{Kind: "apk"}
	err := paragraphs(data, func(line string) error {
		key, value, ok := strings.Cut(line, ":")
		if !ok || len(key) != 1 {
			return fmt.Errorf("%.40q is no line of a database of apk", line)
		}
		switch key {
		case "P":
			p.Name = value
		case "V":
			p.Version = value
		case "A":
			p.Arch = value
		case "L":
			p.License = value
		case "o":
			p.Source = value
		}
		return nil
	}, func() error {
		var err error
		list, err = add(list, p)
		p = Package{Kind: "apk"}
		return err
	})
	return sorted(list), err
}

// ParseDpkg reads /var/lib/dpkg/status, or a file of /var/lib/dpkg/status.d, as distroless images have them: paragraphs
// of fields as in mail (deb822(5)). It leaves out packages that aren't installed.
func ParseDpkg(data []byte) ([]Package, error) {
	var list []Package
	p, installed := Package{Kind: "deb"}, true
	err := paragraphs(data, func(line string) error {
		if line[0] == ' ' || line[0] == '\t' {
			return nil // the field goes on
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("%.40q is no field of a database of dpkg", line)
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "package":
			p.Name = value
		case "version":
			p.Version = value
		case "architecture":
			p.Arch = value
		case "source":
			p.Source, _, _ = strings.Cut(value, " ") // the source's own version may follow
		case "status":
			installed = strings.HasSuffix(value, " installed")
		}
		return nil
	}, func() (err error) {
		if installed {
			list, err = add(list, p)
		}
		p, installed = Package{Kind: "deb"}, true
		return err
	})
	return sorted(list), err
}

// paragraphs calls line for each line that isn't empty, and end behind each run of these.
func paragraphs(data []byte, line func(string) error, end func() error) error {
	open := false
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		text := strings.TrimSuffix(lines.Text(), "\r")
		if text != "" {
			open = true
			if err := line(text); err != nil {
				return err
			}
			continue
		}
		if open {
			if err := end(); err != nil {
				return err
			}
		}
		open = false
	}
	if err := lines.Err(); err != nil || !open {
		return err
	}
	return end()
}

func add(list []Package, p Package) ([]Package, error) {
	if p.Name == "" || p.Version == "" {
		return nil, fmt.Errorf("a package has no name or no version (name %q, version %q)", p.Name, p.Version)
	}
	if p.Source == p.Name {
		p.Source = ""
	}
	return append(list, p), nil
}

// sorted sorts packages and leaves out repeats.
func sorted(list []Package) []Package {
	slices.SortFunc(list, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Arch, b.Arch),
			cmp.Compare(a.Source, b.Source), cmp.Compare(a.License, b.License))
	})
	return slices.CompactFunc(list, func(a, b Package) bool {
		return a.Name == b.Name && a.Version == b.Version && a.Arch == b.Arch && a.Kind == b.Kind
	})
}

// ParseRelease reads /etc/os-release (os-release(5)).
func ParseRelease(data []byte) Release {
	var r Release
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			r.ID = value
		case "VERSION_ID":
			r.Version = value
		}
	}
	return r
}
