// Package gorecipe says all that decides what a layer of compiled packages holds. Who has the recipe, the modules and the
// toolchain can make the layer anew, and compare; who makes the recipe of a build of its own knows by the key which layer
// is of that build.
package gorecipe

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/larder-build/larder/internal/golang/gomod"
	"golang.org/x/mod/module"
)

// A Recipe says what the go command compiles of other modules and of the standard library before a module, and how.
type Recipe struct {
	Platform  string            `json:"platform"`        // that packages are compiled for: OS/ARCHITECTURE[/VARIANT]
	Toolchain string            `json:"toolchain"`       // such as go1.26.8
	Module    string            `json:"module"`          // the main module's path
	Dir       string            `json:"dir"`             // the main module's folder in the tree
	Work      string            `json:"work,omitempty"`  // the go.work that counts, in the tree
	Flags     []string          `json:"flags,omitempty"` // of the go command, those that change how packages are compiled
	Env       []string          `json:"env,omitempty"`   // settings of the go command, as NAME=VALUE
	Imports   []string          `json:"imports"`         // what the module imports from elsewhere
	Files     map[string]string `json:"files"`           // the go.mod, go.sum, go.work and go.work.sum files of the tree, by path
}

// MaxSize is how many bytes a recipe's text may have.
const MaxSize = 4 << 20

// keySize is the length of a key: 128 bits in hex.
const keySize = 32

var keys = regexp.MustCompile(fmt.Sprintf(`^[0-9a-f]{%d}$`, keySize))

// IsKey reports whether a text could be the key of a recipe.
func IsKey(text string) bool { return keys.MatchString(text) }

// Text returns the recipe as JSON: the same for equal recipes.
func (r Recipe) Text() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("texts can't be written as JSON: %v", err)) // all can
	}
	return text
}

// Key returns what tells the recipe from others.
func (r Recipe) Key() string {
	sum := sha256.Sum256(r.Text())
	return hex.EncodeToString(sum[:])[:keySize]
}

// Sums returns what the go.sum files list: the modules that packages are compiled of.
func (r Recipe) Sums() (gomod.Set, error) {
	var sums []gomod.File
	for name, text := range r.Files {
		if strings.HasSuffix(name, ".sum") {
			sums = append(sums, gomod.File{Name: name, Data: []byte(text)})
		}
	}
	return gomod.ParseSums(sums...)
}

// Flags and settings that a recipe may have. None of them runs a program, and none names a file.
var (
	flags    = strings.Fields("trimpath race msan asan buildmode installsuffix mod tags")
	settings = strings.Fields("GO386 GOAMD64 GOARM GOARM64 GODEBUG GOEXPERIMENT GOMIPS GOMIPS64 GOPPC64 GORISCV64")
	files    = strings.Fields("go.mod go.sum go.work go.work.sum")
	releases = regexp.MustCompile(`^go1\.[0-9]+(\.[0-9]+|rc[0-9]+|beta[0-9]+)?$`)
	targets  = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+(/[a-z0-9.]+)?$`)
)

// Parse reads a text that Text has written. It refuses any other, and a recipe by which a go command would do more than
// compile.
func Parse(text []byte) (Recipe, error) {
	var r Recipe
	if len(text) > MaxSize {
		return r, fmt.Errorf("the recipe has %d bytes: at most %d are read", len(text), MaxSize)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("the recipe: %w", err)
	}
	if !bytes.Equal(text, r.Text()) {
		return r, errors.New("the recipe isn't written as Larder writes it")
	}
	if err := r.Check(); err != nil {
		return r, fmt.Errorf("the recipe: %w", err)
	}
	return r, nil
}

// Check says why something can't be a recipe.
func (r Recipe) Check() error {
	switch {
	case !targets.MatchString(r.Platform):
		return fmt.Errorf("platform %q: expected OS/ARCHITECTURE", r.Platform)
	case !releases.MatchString(r.Toolchain):
		return fmt.Errorf("toolchain %q: expected a Go release", r.Toolchain)
	case !fs.ValidPath(r.Dir), r.Work != "" && (!fs.ValidPath(r.Work) || r.Files[r.Work] == ""):
		return fmt.Errorf("folder %q, workspace %q: expected paths in the tree", r.Dir, r.Work)
	case len(r.Imports) == 0:
		return errors.New("nothing is imported")
	}
	if err := module.CheckImportPath(r.Module); err != nil {
		return err
	}
	for _, i := range r.Imports {
		if err := module.CheckImportPath(i); err != nil {
			return err
		}
	}
	for _, f := range r.Flags {
		name, _, _ := strings.Cut(strings.TrimPrefix(f, "-"), "=")
		if !slices.Contains(flags, name) || name == "mod" && f != "-mod=readonly" || !printable(f) {
			return fmt.Errorf("flag %q: it isn't one that changes how packages are compiled", f)
		}
	}
	for _, kv := range r.Env {
		if name, _, _ := strings.Cut(kv, "="); !slices.Contains(settings, name) || !printable(kv) {
			return fmt.Errorf("setting %q: it isn't one that changes how packages are compiled", kv)
		}
	}
	for name, text := range r.Files {
		if !fs.ValidPath(name) || !slices.Contains(files, path.Base(name)) || !utf8.ValidString(text) {
			return fmt.Errorf("file %q: expected a go.mod, go.sum or go.work in UTF-8", name)
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
