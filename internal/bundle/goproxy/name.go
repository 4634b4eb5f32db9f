package goproxy

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
)

// A kind is what a request asks for.
type kind string

const (
	kindList      kind = "list"      // the versions of a module
	kindLatest    kind = "latest"    // the info of a module's latest version
	kindInfo      kind = "info"      // of a version
	kindMod       kind = "mod"       // a version's go.mod
	kindZip       kind = "zip"       // a version
	kindSupported kind = "supported" // whether a checksum database is passed on
	kindHead      kind = "head"      // a checksum database's latest tree head
	kindLookup    kind = "lookup"    // of a version in a checksum database
	kindTile      kind = "tile"      // of a checksum database
	kindOther     kind = "other"     // nothing that a module proxy has
)

// A name is a parsed URL path.
type name struct {
	kind    kind
	module  module.Version // without a version for kindList and kindLatest; none for a tile and a head
	sumdb   string         // the checksum database's name, which may have slashes
	file    string         // in a source; for kindList and kindLatest the folder of versions
	escaped string         // the escaped module path
}

// Kind returns the kind of request that a URL path makes: list, latest, info, mod, zip, supported, head, lookup, tile
// or other.
func Kind(urlPath string) string {
	n, err := parse(urlPath)
	if err != nil {
		return string(kindOther)
	}
	return string(n.kind)
}

// parse reads a URL path (https://go.dev/ref/mod#goproxy-protocol). It refuses all names that aren't in that protocol.
func parse(urlPath string) (name, error) {
	rest, ok := strings.CutPrefix(urlPath, "/")
	if !ok || !fs.ValidPath(rest) {
		return name{}, errName
	}
	if db, ok := strings.CutPrefix(rest, "sumdb/"); ok {
		return parseSumdb(rest, db)
	}
	if escaped, ok := strings.CutSuffix(rest, "/@latest"); ok {
		return moduleName(kindLatest, escaped)
	}
	escaped, file, ok := strings.Cut(rest, "/@v/")
	if !ok {
		return name{}, errName
	}
	if file == "list" {
		return moduleName(kindList, escaped)
	}
	ext := path.Ext(file)
	kind := kind(strings.TrimPrefix(ext, "."))
	if kind != kindInfo && kind != kindMod && kind != kindZip {
		return name{}, errName
	}
	m, err := unescape(escaped, strings.TrimSuffix(file, ext))
	return name{kind: kind, module: m, file: rest, escaped: escaped}, err
}

var errName = fmt.Errorf("this is a module proxy: expected /MODULE/@v/list, /MODULE/@latest, /MODULE/@v/VERSION.info, .mod or .zip, or /sumdb/NAME/…")

func moduleName(k kind, escaped string) (name, error) {
	modpath, err := module.UnescapePath(escaped)
	if err != nil {
		return name{}, err
	}
	return name{kind: k, module: module.Version{Path: modpath}, file: escaped + "/@v", escaped: escaped}, nil
}

// unescape accepts whole versions only: a bundle can't answer the go command's other queries, such as a branch.
func unescape(escaped, version string) (module.Version, error) {
	modpath, err := module.UnescapePath(escaped)
	if err != nil {
		return module.Version{}, err
	}
	v, err := module.UnescapeVersion(version)
	if err != nil {
		return module.Version{}, err
	}
	if v != module.CanonicalVersion(v) {
		return module.Version{}, fmt.Errorf("%s@%s: bundles have whole versions, such as v1.2.3, and no branches: ask for one of these, or for latest", modpath, v)
	}
	return module.Version{Path: modpath, Version: v}, module.Check(modpath, v)
}

// parseSumdb reads the path of a checksum database's file. The parameter rest is the part after sumdb/.
func parseSumdb(file, rest string) (name, error) {
	if db, ok := strings.CutSuffix(rest, "/supported"); ok {
		return name{kind: kindSupported, sumdb: db, file: path.Join("sumdb", db, "latest")}, nil
	}
	if db, ok := strings.CutSuffix(rest, "/latest"); ok {
		return name{kind: kindHead, sumdb: db, file: file}, nil
	}
	if db, lookup, ok := strings.Cut(rest, "/lookup/"); ok {
		escaped, version, _ := strings.Cut(lookup, "@")
		m, err := unescape(escaped, version)
		return name{kind: kindLookup, sumdb: db, module: m, file: file, escaped: escaped}, err
	}
	if db, tile, ok := strings.Cut(rest, "/tile/"); ok {
		_, err := tlog.ParseTilePath("tile/" + tile)
		return name{kind: kindTile, sumdb: db, file: file}, err
	}
	return name{}, errName
}
