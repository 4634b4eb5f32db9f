package goproxy

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

// tree makes files with their names for text.
func tree(names ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, name := range names {
		files[name] = &fstest.MapFile{Data: []byte("<" + name + ">"), ModTime: time.Unix(1600000000, 0)}
	}
	return files
}

// version names the files of a module version.
func version(escaped, version string) []string {
	base := escaped + "/@v/" + version
	return []string{base + ".info", base + ".mod", base + ".zip", base + ".ziphash"}
}

func join(lists ...[]string) (all []string) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// bundles are two: the newer has one file of its own making that the older has too.
func bundles() []Source {
	newer := tree(join(
		version("example.com/m", "v1.2.0"), version("example.com/m", "v1.10.0"), version("example.com/m", "v2.0.0+incompatible"),
		version("example.com/m", "v1.11.0-rc.1"), version("example.com/m", "v0.0.0-20300101000000-0123456789ab"),
		version("example.com/!upper", "v0.1.0-!r!c1"),
		[]string{"example.com/m/@v/v1.20.0.mod", "example.com/m/@v/v1.21.0.info", "example.com/m/@v/list", "example.com/m/@v/master.info", "example.com/m/@v/v1.2.0.lock"},
		[]string{"oci-layout", "example.com/secret", "sumdb/sum.example.com/other", "example.com/dir/@v/v1.0.0.mod/x"},
	)...)
	older := tree(join(
		version("example.com/m", "v1.2.0"), version("example.com/m", "v1.1.0"),
		version("example.com/pre", "v1.0.0-beta"), version("example.com/pre", "v1.0.0-alpha"), version("example.com/pre", "v0.0.0-20300101000000-0123456789ab"),
		version("example.com/commits", "v0.0.0-20200101000000-0123456789ab"), version("example.com/commits", "v0.0.1-0.20190101000000-0123456789ab"),
		[]string{"example.com/m/@v/v1.20.0.info", "example.com/modonly/@v/v1.0.0.mod", "example.com/m/@v/v1.22.0.zip", "example.com/m/@v/v1.21.0.zip", "example.com/m/@v/v1.21.0.mod"},
		[]string{"sumdb/sum.example.com/db/latest", "sumdb/sum.example.com/db/tile/8/0/000.p/1", "sumdb/sum.example.com/db/lookup/example.com/!upper@v0.1.0-!r!c1", "sumdb/sum.example.com/db/heads/1"},
	)...)
	older["example.com/m/@v/v1.2.0.zip"].Data = []byte("not this one")
	return []Source{{"newer", newer}, {"older", older}}
}

func get(h http.Handler, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "http://proxy"+target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(data)
}

func TestServe(t *testing.T) {
	p := New(bundles()...)
	for target, want := range map[string]string{
		"/example.com/m/@v/list":                                              "v1.1.0\nv1.2.0\nv1.10.0\nv1.11.0-rc.1\nv1.21.0\nv2.0.0+incompatible\n",
		"/example.com/commits/@v/list":                                        "",
		"/example.com/!upper/@v/list":                                         "v0.1.0-RC1\n",
		"/example.com/%21upper/@v/v0.1.0-%21r%21c1.mod":                       "<example.com/!upper/@v/v0.1.0-!r!c1.mod>",
		"/example.com/m/@v/v1.2.0.zip":                                        "<example.com/m/@v/v1.2.0.zip>",
		"/example.com/m/@v/v1.1.0.zip":                                        "<example.com/m/@v/v1.1.0.zip>",
		"/example.com/m/@v/v2.0.0+incompatible.info":                          "<example.com/m/@v/v2.0.0+incompatible.info>",
		"/example.com/m/@v/v1.20.0.mod":                                       "<example.com/m/@v/v1.20.0.mod>",
		"/example.com/modonly/@v/v1.0.0.mod":                                  "<example.com/modonly/@v/v1.0.0.mod>",
		"/example.com/m/@latest":                                              "<example.com/m/@v/v2.0.0+incompatible.info>",
		"/example.com/pre/@latest":                                            "<example.com/pre/@v/v1.0.0-beta.info>",
		"/example.com/commits/@latest":                                        "<example.com/commits/@v/v0.0.0-20200101000000-0123456789ab.info>",
		"/sumdb/sum.example.com/db/supported":                                 "",
		"/sumdb/sum.example.com/db/latest":                                    "<sumdb/sum.example.com/db/latest>",
		"/sumdb/sum.example.com/db/tile/8/0/000.p/1":                          "<sumdb/sum.example.com/db/tile/8/0/000.p/1>",
		"/sumdb/sum.example.com/db/lookup/example.com/!upper@v0.1.0-!r!c1":    "<sumdb/sum.example.com/db/lookup/example.com/!upper@v0.1.0-!r!c1>",
		"/sumdb/sum.example.com/db/lookup/example.com/!upper@v0.1.0-!r!c1?x=": "<sumdb/sum.example.com/db/lookup/example.com/!upper@v0.1.0-!r!c1>",
	} {
		resp := get(p, http.MethodGet, target)
		require.Equal(t, http.StatusOK, resp.StatusCode, target)
		require.Equal(t, want, body(t, resp), target)
		resp = get(p, http.MethodHead, target)
		require.Equal(t, http.StatusOK, resp.StatusCode, target)
		require.EqualValues(t, len(want), resp.ContentLength, target)
		require.Empty(t, body(t, resp), target)
	}
	n, err := p.Count()
	require.NoError(t, err)
	require.Equal(t, 14, n)
}

func TestSourceOf(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("stock", 0o755))
	for _, dir := range []string{"stock", "./stock/", "stock/../stock"} {
		require.Equal(t, "stock", SourceOf(dir, nil).Name)
	}
	t.Chdir("stock")
	require.Equal(t, "stock", SourceOf(".", nil).Name)
}

func TestMissing(t *testing.T) {
	p := New(bundles()...)
	for target, want := range map[string]string{
		"/example.com/m/@v/v1.9.0.zip":                      "zip of example.com/m@v1.9.0 is not in bundles newer, older: add it with 'larder bundle create', or ask for a version that /example.com/m/@v/list names\n",
		"/example.com/!upper/@v/v0.9.0.info":                "info of example.com/Upper@v0.9.0 is not in bundles newer, older: add it with 'larder bundle create', or ask for a version that /example.com/!upper/@v/list names\n",
		"/example.com/none/@v/list":                         "no version of example.com/none is in bundles newer, older: if it is a module, add it with 'larder bundle create'\n",
		"/example.com/modonly/@v/list":                      "no version of example.com/modonly is in ",
		"/example.com/none/@latest":                         "no version of example.com/none is in ",
		"/example.com/m/@v/master.info":                     "example.com/m@master: bundles have whole versions",
		"/sumdb/sum.golang.org/supported":                   "the checksum database sum.golang.org is not in ",
		"/sumdb/sum.golang.org/lookup/example.com/m@v1.0.0": "the checksum database's record of example.com/m@v1.0.0 is not in ",
		"/sumdb/sum.example.com/db/tile/8/0/000.p/2":        "remove pkg/sumdb/sum.example.com/db/latest below its GOPATH",
		"/":                                                  "this is a module proxy: expected",
		"/oci-layout":                                        "this is a module proxy: expected",
		"/example.com/secret":                                "this is a module proxy: expected",
		"/example.com/m/@v/":                                 "this is a module proxy: expected",
		"/example.com/m/@v":                                  "this is a module proxy: expected",
		"/example.com/m/@v/v1.2.0.ziphash":                   "this is a module proxy: expected",
		"/example.com/m/@v/v1.2.0.lock":                      "this is a module proxy: expected",
		"/example.com/m/@v/../../../oci-layout":              "this is a module proxy: expected",
		"/example.com/m/@v/..%2f..%2f..%2foci-layout":        "this is a module proxy: expected",
		"/example.com//m/@v/list":                            "this is a module proxy: expected",
		"/sumdb/sum.example.com/other":                       "this is a module proxy: expected",
		"/sumdb/sum.example.com/db/heads/1":                  "this is a module proxy: expected",
		"/sumdb/sum.example.com/db/tile/8/0/../../../latest": "this is a module proxy: expected",
		"/sumdb/sum.example.com/db/tile/8/0/0":               "malformed tile path",
		"/sumdb/sum.example.com/db/lookup/latest@":           "malformed module path",
		"/example.com/Upper/@v/list":                         "escaped module path",
		"/example.com/m/@v/v1.2.0%0a.info":                   "v1.2.0",
		"/example.com/m/v2/@v/v1.2.0.info":                   "should be v2, not v1",
		"/example.com/dir/@v/v1.0.0.mod":                     "mod of example.com/dir@v1.0.0 is not in ",
	} {
		resp := get(p, http.MethodGet, target)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, target)
		require.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"), "for the go command to show it")
		text := body(t, resp)
		require.Contains(t, text, want, target)
		require.Less(t, len(text), 600, "the go command shows no more")
	}
	require.Contains(t, body(t, get(New(), http.MethodGet, "/example.com/m/@v/list")), "as none is loaded")
	var many []Source
	for range 300 {
		many = append(many, Source{"a-bundle", tree()})
	}
	require.Contains(t, body(t, get(New(many...), http.MethodGet, "/example.com/m/@v/list")), "a-bundle, 275 more:")

	resp := get(p, http.MethodPost, "/example.com/m/@v/list")
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.Equal(t, "GET, HEAD", resp.Header.Get("Allow"))
}

func TestHeaders(t *testing.T) {
	p := New(bundles()...)
	for target, want := range map[string][2]string{
		"/example.com/m/@v/list":                     {"text/plain; charset=utf-8", noCache},
		"/example.com/m/@latest":                     {"application/json", noCache},
		"/example.com/m/@v/v1.2.0.info":              {"application/json", forever},
		"/example.com/m/@v/v1.2.0.mod":               {"text/plain; charset=utf-8", forever},
		"/example.com/m/@v/v1.2.0.zip":               {"application/zip", forever},
		"/sumdb/sum.example.com/db/latest":           {"text/plain; charset=utf-8", noCache},
		"/sumdb/sum.example.com/db/tile/8/0/000.p/1": {"application/octet-stream", forever},
	} {
		resp := get(p, http.MethodGet, target)
		require.Equal(t, want, [2]string{resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control")}, target)
		require.Equal(t, want[1] == forever, resp.Header.Get("Last-Modified") != "", target)
	}
	resp := get(p, http.MethodGet, "/example.com/m/@v/v1.2.0.zip", "Range", "bytes=1-11")
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	require.Equal(t, "example.com", body(t, resp))
	resp = get(p, http.MethodGet, "/example.com/m/@v/v1.2.0.zip", "If-Modified-Since", time.Unix(1600000000, 0).UTC().Format(http.TimeFormat))
	require.Equal(t, http.StatusNotModified, resp.StatusCode)
}

// A faultyFS has files that can't be sought in and break off after some bytes, or can't be opened.
type faultyFS struct {
	fs.FS
	open error
	left int64
}

type faultyFile struct {
	fs.File
	io.Reader
}

func (f faultyFile) Read(p []byte) (int, error) { return f.Reader.Read(p) }

func (f faultyFS) Open(name string) (fs.File, error) {
	if f.open != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: f.open}
	}
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return faultyFile{file, io.LimitReader(file, f.left)}, nil
}

func TestFilesWithoutSeek(t *testing.T) {
	const target = "/example.com/m/@v/v1.1.0.zip"
	files := tree(version("example.com/m", "v1.1.0")...)
	p := New(Source{"whole", faultyFS{FS: files, left: 1000}})
	resp := get(p, http.MethodGet, target, "Range", "bytes=1-2")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "<example.com/m/@v/v1.1.0.zip>", body(t, resp))
	resp = get(p, http.MethodHead, target)
	require.EqualValues(t, 29, resp.ContentLength)

	srv := httptest.NewServer(New(Source{"cut", faultyFS{FS: files, left: 10}}))
	defer srv.Close()
	resp, err := http.Get(srv.URL + target)
	if err == nil {
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
	}
	require.ErrorContains(t, err, "EOF", "no client takes a part for the whole")
}

// A bundle that can't be read isn't passed over: an older one might have something else.
func TestUnreadable(t *testing.T) {
	broken := Source{"broken", faultyFS{open: errors.New("input/output error")}}
	p := New(append([]Source{broken}, bundles()...)...)
	for _, target := range []string{
		"/example.com/m/@v/list", "/example.com/m/@latest", "/example.com/m/@v/v1.2.0.zip",
		"/sumdb/sum.example.com/db/supported", "/sumdb/sum.example.com/db/lookup/example.com/m@v1.2.0",
	} {
		resp := get(p, http.MethodGet, target)
		require.Equal(t, http.StatusInternalServerError, resp.StatusCode, target)
		require.Contains(t, body(t, resp), "reading bundle broken: ", target)
	}
	_, err := p.Count()
	require.ErrorContains(t, err, "reading bundle broken: ")
}

// Folders on disk do as well as bundles.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	testkit.Module{Path: "example.com/Mixed", Version: "v1.0.0"}.Write(t, dir)
	p := New(Source{"folder", os.DirFS(dir)})
	require.Equal(t, "v1.0.0\n", body(t, get(p, http.MethodGet, "/example.com/!mixed/@v/list")))
	require.Contains(t, body(t, get(p, http.MethodGet, "/example.com/!mixed/@latest")), `"Version":"v1.0.0"`)
}

func FuzzParse(f *testing.F) {
	for _, target := range []string{
		"/example.com/!m/@v/list", "/example.com/m/@latest", "/example.com/m/@v/v1.2.0.zip", "/example.com/m/@v/../x.mod", "//", "/@v/list",
		"/sumdb/sum.golang.org/supported", "/sumdb/sum.golang.org/lookup/example.com/m@v1.0.0", "/sumdb/x/tile/8/0/x001/234.p/5", "/sumdb/x/latest",
	} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		n, err := parse(target)
		if err != nil {
			return
		}
		require.True(t, fs.ValidPath(n.file), n.file)
		switch n.kind {
		case kindInfo, kindMod, kindZip:
			require.NoError(t, module.Check(n.module.Path, n.module.Version))
			require.Equal(t, target, "/"+n.file)
			require.Equal(t, "@v", path.Base(path.Dir(n.file)))
		case kindList, kindLatest:
			require.NoError(t, module.CheckPath(n.module.Path))
			require.Equal(t, "@v", path.Base(n.file))
		default:
			require.True(t, strings.HasPrefix(n.file, "sumdb/"+n.sumdb+"/"), n.file)
		}
	})
}
