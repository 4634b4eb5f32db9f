package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/internal/golang/gomod"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// plainGoMod returns the value of Deps.GoMod.
func (p *Plan) plainGoMod(d Deps) []byte {
	m := d.Modules
	if d.Standard || m == nil || m.FIPS != nil || d.Work != "" || !m.Network() || slices.ContainsFunc(m.Sources, Source.atHand) {
		return nil
	}
	files := []string{path.Join(d.Dir, "go.mod"), path.Join(d.Dir, "go.sum")}
	for _, of := range d.Slice.Of {
		if of.Profile != "" || !slices.Equal(of.ModFiles(), files) {
			return nil
		}
	}
	data, err := fs.ReadFile(p.Wide.tree, files[0])
	if err != nil {
		return nil
	}
	if _, err := gomod.Plain(data); err != nil {
		return nil
	}
	return data
}

// BaselineKey names a group of builds that share the list of their needs. A step for a target platform may begin with
// the layer of packages of an earlier build in the group: everything that decides how to compile is the same, and most
// of what is needed is likely the same. The namespace is that of the builder's caches.
func (d *Deps) BaselineKey(namespace string, target ocispecs.Platform, needs gomod.Needs) string {
	text, err := json.Marshal([]any{namespace, platforms.FormatAll(target), d.Toolchain, d.Module, d.Dir, d.Flags, d.Env, d.Modules.Sources, d.Modules.VCS, needs.Sample()})
	if err != nil {
		panic(fmt.Sprintf("texts can't be written as JSON: %v", err)) // all can
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
