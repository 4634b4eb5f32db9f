package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/golang/gorecipe"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// compiledFor makes a layer of compiled packages: for each text an entry, and the text as its output.
func (s *stock) compiledFor(module string, texts ...string) Compiled {
	r := gorecipe.Recipe{
		Platform: "linux/amd64", Toolchain: "go1.99.0", Module: module, Dir: ".", Imports: []string{"m0.example/lib"},
		Files: map[string]string{"go.mod": "module " + module + "\n", "go.sum": s.sums},
	}
	files := fstest.MapFS{}
	for _, text := range texts {
		action, output := digest.FromString("make "+text).Encoded(), digest.FromString(text).Encoded()
		files[output[:2]+"/"+output+"-d"] = &fstest.MapFile{Data: []byte(text)}
		files[action[:2]+"/"+action+"-a"] = &fstest.MapFile{Data: fmt.Appendf(nil, "v1 %s %s %20d %20d\n", action, output, len(text), 0)}
	}
	for range texts[1:] {
		r.Imports = append(r.Imports, "m0.example/lib") // in the order in which layers are made
	}
	sources := &gorecipe.Sources{}
	require.NoError(s.t, sources.AddPackage("m0.example/lib@v1.0.0", nil))
	return Compiled{Recipe: r, Sources: sources, Files: files}
}

// compiledRequest is of all that compiled packages need.
func (s *stock) compiledRequest(t Toolchain, list ...Compiled) Request {
	req := s.request()
	req.Toolchains, req.Compiled = []Toolchain{t}, list
	return req
}

// Compiled packages are listed, verified, merged and moved by a delta as all else in a bundle is, and what several builds
// compile is there once.
func TestCompiled(t *testing.T) {
	s := newStock(t, 2)
	toolchain := s.toolchain("go1.99.0")
	one, two := s.compiledFor("one.example/app", "a", "b"), s.compiledFor("two.example/app", "a", "b", "c")
	req := s.compiledRequest(toolchain, two, one)
	a := s.create(t.TempDir(), req)
	again := s.create(t.TempDir(), s.compiledRequest(toolchain, one, two))
	for _, name := range a.compiledImages() {
		require.Equal(t, a.Images()[name].Digest, again.Images()[name].Digest)
	}
	got, err := a.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 2, got.Compiled)

	layers := func(c Compiled) []ocispec.Descriptor {
		list, err := a.layers(t.Context(), "compiled-"+c.Recipe.Key())
		require.NoError(t, err)
		return list
	}
	require.Len(t, layers(one), 2)
	require.Len(t, layers(two), 3)
	require.Equal(t, layers(one)[0], layers(two)[0])
	list, views, err := a.Compiled(t.Context())
	require.NoError(t, err)
	defer views.Close()
	require.Len(t, list, 2)
	for _, c := range list {
		want := map[string]Compiled{"one.example/app": one, "two.example/app": two}[c.Recipe.Module]
		require.Equal(t, want.Recipe, c.Recipe)
		require.Equal(t, want.Sources, c.Sources)
		for name, file := range want.Files.(fstest.MapFS) {
			data, err := fs.ReadFile(c.Files, name)
			require.NoError(t, err)
			require.Equal(t, string(file.Data), string(data))
		}
	}
	items, err := a.Items(t.Context())
	require.NoError(t, err)
	require.Equal(t, "compiled one.example/app@"+one.Recipe.Key(), items[0].ID())
	require.Equal(t, "compiled by go1.99.0", items[0].Origin)
	contexts, err := a.CompiledContexts(t.Context())
	require.NoError(t, err)
	require.Len(t, contexts, 2)
	require.Contains(t, strings.Join(contexts, " "), "larder-compiled-"+one.Recipe.Key()+"=oci-layout://"+a.Dir()+"@"+a.Images()["compiled-"+one.Recipe.Key()].Digest.String())
	plain, err := a.Contexts(t.Context(), nil)
	require.NoError(t, err)
	require.NotContains(t, strings.Join(plain, " "), "compiled", "they are taken by who trusts them alone")

	// A delta brings the new ones alone, and has them signed as all else.
	old := s.create(t.TempDir(), s.compiledRequest(toolchain, one))
	req = s.compiledRequest(toolchain)
	req.CompiledOf, req.Since = []*Bundle{a}, old
	delta := s.create(t.TempDir(), req)
	next, err := Apply(t.Context(), old.Dir(), delta, Trust{})
	require.NoError(t, err)
	require.Equal(t, a.compiledImages(), next.compiledImages())
	_, err = os.Stat(blobName(delta, layers(one)[0].Digest))
	require.ErrorIs(t, err, fs.ErrNotExist)
	list, more, err := next.Compiled(t.Context())
	require.NoError(t, err)
	defer more.Close()
	require.Len(t, list, 2)

	all, err := Merge(t.Context(), filepath.Join(t.TempDir(), "all"), []*Bundle{a, next}, []*Bundle{a, next}, SumDB{}, nil)
	require.NoError(t, err)
	require.Equal(t, a.compiledImages(), all.compiledImages())
	none, err := Merge(t.Context(), filepath.Join(t.TempDir(), "none"), []*Bundle{a, next}, nil, SumDB{}, nil)
	require.NoError(t, err)
	require.False(t, none.HasCompiled())
	planted := s.compiledFor("one.example/app", "a", "planted")
	other := s.create(t.TempDir(), s.compiledRequest(toolchain, planted))
	_, err = Merge(t.Context(), filepath.Join(t.TempDir(), "all"), []*Bundle{a, other}, []*Bundle{a, other}, SumDB{}, nil)
	require.ErrorContains(t, err, "the bundles disagree: compiled-"+one.Recipe.Key())

	// What isn't compiled of what is left goes.
	want := s.request()
	want.Toolchains = req.Toolchains
	pruned, err := Prune(t.Context(), all, want)
	require.NoError(t, err)
	require.Equal(t, a.compiledImages(), pruned.compiledImages())
	want.Toolchains = nil
	pruned, err = Prune(t.Context(), pruned, want)
	require.NoError(t, err)
	require.False(t, pruned.HasCompiled())
}

// Compiled packages that aren't what they say get into no bundle.
func TestCreateRefusesDamagedPackages(t *testing.T) {
	s := newStock(t, 1)
	toolchain := s.toolchain("go1.99.0")
	for want, damage := range map[string]func(fstest.MapFS, string){
		"is no file of a GOCACHE": func(f fstest.MapFS, _ string) { f["main.go"] = &fstest.MapFile{} },
		"has the SHA-256":         func(f fstest.MapFS, output string) { f[output].Data = []byte("b") },
		"that isn't there":        func(f fstest.MapFS, output string) { delete(f, output) },
	} {
		c := s.compiledFor("one.example/app", "a")
		output := digest.FromString("a").Encoded()
		damage(c.Files.(fstest.MapFS), output[:2]+"/"+output+"-d")
		_, err := s.maker().Create(t.Context(), t.TempDir(), s.compiledRequest(toolchain, c))
		require.ErrorContains(t, err, want)
	}
}

// A bundle whose image of compiled packages has anything else, or is another's, is found by verify, and no build takes any.
func TestHostileCompiled(t *testing.T) {
	s := newStock(t, 1)
	toolchain := s.toolchain("go1.99.0")
	c := s.compiledFor("one.example/app", "a")
	name := "compiled-" + c.Recipe.Key()
	tarOf := func(h tar.Header, data string) func(b *Bundle) ocispec.Descriptor {
		return func(b *Bundle) ocispec.Descriptor {
			var layer bytes.Buffer
			w := tar.NewWriter(&layer)
			h.Mode = 0o644
			require.NoError(t, w.WriteHeader(&h))
			_, _ = w.Write([]byte(data))
			_ = w.Flush() // it fails where the size is a lie
			desc, err := b.addBlob(t.Context(), ocispec.MediaTypeImageLayer, append(layer.Bytes(), make([]byte, 1024)...))
			require.NoError(t, err)
			return desc
		}
	}
	action := digest.FromString("make a").Encoded()
	entry := action[:2] + "/" + action + "-a"
	for what, tt := range map[string]struct {
		layer func(b *Bundle) ocispec.Descriptor
		want  string
	}{
		"a link":         {tarOf(tar.Header{Name: entry, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""), "which is no plain file"},
		"a hard link":    {tarOf(tar.Header{Name: entry, Typeflag: tar.TypeLink, Linkname: "../x"}, ""), "which is no plain file"},
		"a device":       {tarOf(tar.Header{Name: "dev", Typeflag: tar.TypeChar}, ""), "which is no plain file"},
		"a name above":   {tarOf(tar.Header{Name: "../" + entry}, ""), "which is no plain file"},
		"a whole path":   {tarOf(tar.Header{Name: "/" + entry}, ""), "which is no plain file"},
		"a whiteout":     {tarOf(tar.Header{Name: entry[:3] + ".wh." + entry[3:]}, ""), "is no file of a GOCACHE"},
		"another file":   {tarOf(tar.Header{Name: "bin/go", Size: 1}, "x"), "is no file of a GOCACHE"},
		"a long name":    {tarOf(tar.Header{Name: strings.Repeat("x/", 80) + "x"}, ""), "at most 1024 bytes in 64 folders are read"},
		"a size":         {tarOf(tar.Header{Name: entry, Size: 1 << 50}, "x"), "which is no plain file"},
		"half an entry":  {tarOf(tar.Header{Name: entry, Size: 2}, "v1"), "has 2 bytes: expected 175"},
		"no recipe":      {tarOf(tar.Header{Name: recipeName, Size: 2}, "{}"), "the recipe isn't written as Larder writes it"},
		"a large recipe": {tarOf(tar.Header{Name: recipeName, Size: gorecipe.MaxSize + 1}, strings.Repeat(" ", gorecipe.MaxSize+1)), "the recipe has"},
		"another recipe": {func(b *Bundle) ocispec.Descriptor {
			return recipeLayer(t, b, s.compiledFor("two.example/app", "a").Recipe)
		}, "its recipe has the key"},
		"hostile sources": {tarOf(tar.Header{Name: sourcesName, Size: 6}, "../m/\n"), `has the line "../m/\n"`},
		"large sources":   {tarOf(tar.Header{Name: sourcesName, Size: gorecipe.MaxSources + 1}, strings.Repeat(" ", gorecipe.MaxSources+1)), "the list of sources has"},
		"a hostile recipe": {func(b *Bundle) ocispec.Descriptor {
			r := c.Recipe
			r.Flags = []string{"-toolexec=/src/x"}
			return recipeLayer(t, b, r)
		}, `flag "-toolexec=/src/x"`},
	} {
		t.Run(what, func(t *testing.T) {
			b := s.create(filepath.Join(t.TempDir(), "bundle"), s.compiledRequest(toolchain, c))
			layers, err := b.layers(t.Context(), name)
			require.NoError(t, err)
			require.NoError(t, b.addImage(t.Context(), name, append(layers, tt.layer(b))))
			_, err = b.CompiledContexts(t.Context())
			require.ErrorContains(t, err, tt.want)
			_, err = b.Verify(t.Context(), s.set(), "", nil)
			require.ErrorContains(t, err, tt.want)
		})
	}

	b := s.create(filepath.Join(t.TempDir(), "bundle"), s.compiledRequest(toolchain, c))
	desc := b.Images()[name]
	desc.Annotations = nil
	b.setImage("compiled-"+strings.Repeat("0", 32), desc)
	b.setImage("compiled-x", desc)
	_, err := b.CompiledContexts(t.Context())
	require.ErrorContains(t, err, "its recipe has the key "+c.Recipe.Key())
	require.Equal(t, []string{"compiled-x"}, b.Strangers())

	planted := s.compiledFor("one.example/app", "a")
	output := digest.FromString("a").Encoded()
	planted.Files.(fstest.MapFS)[output[:2]+"/"+output+"-d"].Data = []byte("b")
	layer, err := b.addLayer(t.Context(), []file{memoryFile(output[:2]+"/"+output+"-d", []byte("b"))})
	require.NoError(t, err)
	layers, err := b.layers(t.Context(), name)
	require.NoError(t, err)
	require.NoError(t, b.addImage(t.Context(), name, append(layers, layer)))
	_, err = b.Verify(t.Context(), s.set(), "", nil)
	require.ErrorContains(t, err, "has the SHA-256 "+digest.FromString("b").Encoded())
	require.ErrorContains(t, err, "the manifest doesn't list the image "+name+" as what it is")
}

// recipeLayer writes a layer that has a recipe alone.
func recipeLayer(t *testing.T, b *Bundle, r gorecipe.Recipe) ocispec.Descriptor {
	desc, err := b.addLayer(t.Context(), []file{memoryFile(recipeName, r.Text())})
	require.NoError(t, err)
	return desc
}
