package goproxy

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// versions returns the versions of a module whose zip, go.mod and .info are there, lowest first. A bundle has only the
// go.mod of many versions, so that the go command can compute a build list. The error is fs.ErrNotExist if there is
// none.
func (p *Proxy) versions(n name) ([]string, error) {
	const whole = 3
	files := map[string]map[kind]bool{}
	for _, src := range p.sources {
		entries, err := fs.ReadDir(src.FS, n.file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading bundle %s: %w", src.Name, err)
		}
		for _, e := range entries {
			ext := path.Ext(e.Name())
			m, err := unescape(n.escaped, strings.TrimSuffix(e.Name(), ext))
			if err != nil {
				continue // what is no version isn't served either
			}
			switch k := kind(strings.TrimPrefix(ext, ".")); k {
			case kindInfo, kindMod, kindZip:
				if files[m.Version] == nil {
					files[m.Version] = map[kind]bool{}
				}
				files[m.Version][k] = true
			}
		}
	}
	var list []string
	for v, kinds := range files {
		if len(kinds) == whole {
			list = append(list, v)
		}
	}
	if list == nil {
		return nil, fs.ErrNotExist
	}
	semver.Sort(list)
	return list, nil
}

// list makes the answer to @v/list: the versions, without pseudo-versions, one on a line.
func (p *Proxy) list(n name) ([]byte, error) {
	versions, err := p.versions(n)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, v := range versions {
		if !module.IsPseudoVersion(v) {
			text.WriteString(v + "\n")
		}
	}
	return []byte(text.String()), nil
}

// latest returns the name of the .info file of the version that the go command would choose: the highest release,
// otherwise the highest pre-release, otherwise the pseudo-version of the latest commit.
func (p *Proxy) latest(n name) (name, error) {
	versions, err := p.versions(n)
	if err != nil {
		return name{}, err
	}
	best := slices.MaxFunc(versions, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(commitTime(a), commitTime(b)), semver.Compare(a, b))
	})
	escaped, err := module.EscapeVersion(best)
	if err != nil {
		return name{}, err
	}
	return name{
		kind: kindInfo, module: module.Version{Path: n.module.Path, Version: best},
		file: n.file + "/" + escaped + ".info", escaped: n.escaped,
	}, nil
}

func rank(version string) int {
	switch {
	case module.IsPseudoVersion(version):
		return 0
	case semver.Prerelease(version) != "":
		return 1
	}
	return 2
}

// commitTime returns the time in a pseudo-version, which sorts as text, and "" for other versions.
func commitTime(version string) string {
	t, err := module.PseudoVersionTime(version)
	if err != nil {
		return ""
	}
	return t.Format("20060102150405")
}

// Count returns how many module versions the sources hold zips of, each once. It reads the names of all their files.
func (p *Proxy) Count() (int, error) {
	seen := map[string]bool{}
	for _, src := range p.sources {
		err := fs.WalkDir(src.FS, ".", func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case file == "sumdb":
				return fs.SkipDir
			}
			if n, err := parse("/" + file); err == nil && n.kind == kindZip {
				seen[file] = true
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("reading bundle %s: %w", src.Name, err)
		}
	}
	return len(seen), nil
}
