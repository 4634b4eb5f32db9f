package gomod

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// Needs are what a module needs from outside: the packages that it imports from other modules and from the standard
// library, and the files that determine their versions.
type Needs struct {
	GoMod   []byte   // the module's go.mod
	Set     Set      // what its go.sum lists
	Imports []string // sorted
}

// These are bounds on the text of Needs: one variable of a process's environment holds 128 KB, and no module has a
// go.mod and a go.sum of more than some MB.
const (
	MaxNeeds  = 100 << 10
	maxInside = 4 << 20
)

// needsText is how Needs are written.
type needsText struct {
	GoMod, GoSum string
	Imports      []string
}

// Text returns the needs in the form that ParseNeeds reads: JSON, compressed by gzip, in base64. If that is longer than
// an environment variable may be, it returns "".
func (n Needs) Text() string {
	data, err := json.Marshal(needsText{string(n.GoMod), string(n.Set.Text()), n.Imports})
	if err != nil || len(data) > maxInside {
		return ""
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // to memory
	_ = w.Close()
	if text := base64.StdEncoding.EncodeToString(b.Bytes()); len(text) <= MaxNeeds {
		return text
	}
	return ""
}

// ParseNeeds parses the result of Text. The text may come from a malicious build, so its size is limited. It refuses
// the same go.mod files as Plain.
func ParseNeeds(text []byte) (Needs, error) {
	if len(text) > MaxNeeds {
		return Needs{}, fmt.Errorf("it has %d bytes, expected at most %d", len(text), MaxNeeds)
	}
	zr, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(text)))
	if err != nil {
		return Needs{}, err
	}
	data, err := io.ReadAll(io.LimitReader(zr, maxInside+1))
	if err != nil {
		return Needs{}, err
	}
	if len(data) > maxInside {
		return Needs{}, fmt.Errorf("it has more than %d bytes when unpacked", maxInside)
	}
	var in needsText
	if err := json.Unmarshal(data, &in); err != nil {
		return Needs{}, err
	}
	n := Needs{GoMod: []byte(in.GoMod), Imports: in.Imports}
	if n.Set, err = ParseSums(File{Name: "go.sum", Data: []byte(in.GoSum)}); err != nil {
		return Needs{}, err
	}
	if _, err := Plain(n.GoMod); err != nil {
		return Needs{}, err
	}
	for _, p := range n.Imports {
		if err := module.CheckImportPath(p); err != nil {
			return Needs{}, err
		}
	}
	if !slices.IsSorted(n.Imports) {
		return Needs{}, fmt.Errorf("its imports aren't sorted")
	}
	return n, nil
}

// Plain returns the module path of a go.mod file. It fails if a replace line names a folder.
func Plain(goMod []byte) (path string, err error) {
	f, err := modfile.Parse("go.mod", goMod, nil)
	if err != nil {
		return "", err
	}
	if f.Module == nil {
		return "", fmt.Errorf("go.mod has no module line")
	}
	for _, r := range f.Replace {
		if r.New.Version == "" {
			return "", fmt.Errorf("go.mod replaces %s by a folder", r.Old.Path)
		}
	}
	return f.Module.Mod.Path, nil
}

// Like reports whether two needs are mostly the same: half of the modules and half of the imports of each are in the
// other, and no module has two hashes. Then it is worth starting one build with the packages that were compiled for the
// other.
func (n Needs) Like(other Needs) bool {
	hashes := map[string]string{}
	for _, z := range other.Set.Zips() {
		hashes[z.Module().String()] = z.Hash
	}
	same := 0
	for _, z := range n.Set.Zips() {
		switch hashes[z.Module().String()] {
		case z.Hash:
			same++
		case "":
		default:
			return false
		}
	}
	shared := 0
	for _, p := range n.Imports {
		if _, ok := slices.BinarySearch(other.Imports, p); ok {
			shared++
		}
	}
	most := func(same, a, b int) bool { return same > 0 && 2*same >= max(a, b) }
	return most(same, len(n.Set.Zips()), len(other.Set.Zips())) && most(shared, len(n.Imports), len(other.Imports))
}

// Sample returns a name that similar needs most likely share: the module and the import with the least hashes. If one
// of n modules or imports is added or changed, the name changes with a probability of 1/n.
func (n Needs) Sample() string {
	var modules []string
	for _, z := range n.Set.Zips() {
		modules = append(modules, z.Module().String())
	}
	return leastHashed(modules) + " " + leastHashed(n.Imports)
}

func leastHashed(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return slices.MinFunc(list, func(a, b string) int {
		x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
		return bytes.Compare(x[:], y[:])
	})
}
