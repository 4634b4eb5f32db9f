package scaffold

import (
	"bytes"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/internal/golang/goslice"
)

// cgoModules are the import path prefixes of packages, outside the tree, that need a C compiler. A program usually
// imports them directly, because they are registered as drivers.
var cgoModules = []string{
	"github.com/mattn/go-sqlite3", "gorm.io/driver/sqlite", "github.com/mutecomm/go-sqlcipher",
	"github.com/confluentinc/confluent-kafka-go", "github.com/godror/godror", "github.com/mattn/go-oci8",
	"github.com/libgit2/git2go", "github.com/h2non/bimg", "github.com/davidbyttow/govips",
	"github.com/linxGNU/grocksdb", "github.com/tecbot/gorocksdb", "github.com/DataDog/zstd",
	"github.com/google/gopacket/pcap", "github.com/gopacket/gopacket/pcap", "github.com/pebbe/zmq4",
	"github.com/marcboeker/go-duckdb", "github.com/duckdb/duckdb-go", "gopkg.in/gographics/imagick",
}

// inspect reads the source files of a program and finds out what it listens on and whether it needs cgo.
func (t *survey) inspect(m *goModule, p *Program) {
	slice, err := goslice.Of(goslice.Request{Tree: t, Module: m.Module, Patterns: []string{p.Package},
		GOOS: "linux", GOARCH: "amd64", Cgo: true, Cache: &t.packages})
	if err != nil { // then its own package has to do
		entries, _ := fs.ReadDir(t, p.Dir)
		for _, e := range entries {
			slice.Files = append(slice.Files, path.Join(p.Dir, e.Name()))
		}
	}
	for _, i := range slice.Imports {
		if p.Cgo == "" && slices.ContainsFunc(cgoModules, func(c string) bool { return i == c || strings.HasPrefix(i, c+"/") }) {
			p.Cgo = i
		}
	}
	ports := map[string]bool{}
	var dirs []string
	for _, name := range slice.Files {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if dir := path.Dir(name); len(dirs) == 0 || dirs[len(dirs)-1] != dir { // files are sorted, and a folder may come twice
			dirs = append(dirs, dir)
		}
		facts := t.source(name)
		p.Listens = p.Listens || facts.listens
		for _, port := range facts.ports {
			ports[port] = true
		}
	}
	for _, dir := range dirs {
		if p.Cgo == "" && t.needsCgo(dir) {
			p.Cgo = `import "C" in ` + dir
		}
	}
	if p.Listens {
		for port := range ports {
			p.Ports = append(p.Ports, port)
		}
		sortPorts(p.Ports)
	}
}

// needsCgo reports whether a package has files with import "C", and no files that replace them when cgo is off.
func (t *survey) needsCgo(dir string) bool {
	with, without := goslice.Context(t, "linux", "amd64"), goslice.Context(t, "linux", "amd64")
	with.CgoEnabled = true
	on, errs := t.packages.ImportDirs(with, false, []string{dir})
	if errs[0] != nil || len(on[0].CgoFiles) == 0 {
		return false
	}
	packages, _ := t.packages.ImportDirs(without, false, []string{dir})
	return cgoOnly(on[0], packages[0])
}

// cgoOnly reports whether a package has no files that replace those with import "C".
func cgoOnly(on, off *build.Package) bool {
	return off == nil || !slices.ContainsFunc(off.GoFiles, func(f string) bool { return !slices.Contains(on.GoFiles, f) })
}

// maxSource is the greatest size of a file that is read: nobody writes larger files by hand.
const maxSource = 1 << 20

// listening are the names of functions that serve or listen, in the standard library and in the usual frameworks.
var listening = map[string]bool{
	"Listen": true, "ListenAndServe": true, "ListenAndServeTLS": true, "ListenConfig": true, "ListenPacket": true,
	"ListenTCP": true, "ListenUDP": true, "ListenTLS": true,
}

// address matches an address that listens on all interfaces. An address of a single interface is for the machine
// itself.
var address = regexp.MustCompile(`^(0\.0\.0\.0|\[::\])?:([1-9][0-9]{0,4})$`)

// sourceFacts are the facts that a source file shows about its program.
type sourceFacts struct {
	listens bool
	ports   []string
}

// source looks in a file, once, for calls that listen and for addresses. The compiler will report files that don't
// parse.
func (t *survey) source(name string) sourceFacts {
	facts, known := t.facts[name]
	if !known {
		facts = t.readSource(name)
		t.facts[name] = facts
	}
	return facts
}

func (t *survey) readSource(name string) (facts sourceFacts) {
	if fi, err := fs.Stat(t, name); err != nil || fi.Size() > maxSource {
		return facts
	}
	data, err := fs.ReadFile(t, name)
	if err != nil || !worthParsing(data) {
		return facts
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.SkipObjectResolution)
	if err != nil {
		return facts
	}
	add := func(port string) {
		if validPort(port) {
			facts.ports = append(facts.ports, port)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			facts.listens = facts.listens || listening[n.Sel.Name]
		case *ast.BasicLit:
			if m := address.FindStringSubmatch(literal(n)); m != nil {
				add(m[2])
			}
		case *ast.AssignStmt: // port = "8080"
			if name, ok := n.Lhs[0].(*ast.Ident); ok && strings.EqualFold(name.Name, "port") {
				add(literal(n.Rhs[0]))
			}
		case *ast.CallExpr: // flag.Int("port", 8080, …)
			if len(n.Args) > 1 && strings.EqualFold(literal(n.Args[0]), "port") {
				add(literal(n.Args[1]))
			}
		}
		return true
	})
	return facts
}

// worthParsing reports whether a source file may hold anything that readSource looks for. Few files do, and to parse
// all of them would take most of the time.
func worthParsing(data []byte) bool {
	if bytes.Contains(data, []byte("Listen")) {
		return true
	}
	for _, quote := range []string{`":`, "`:", `"0.0.0.0:`, "`0.0.0.0:", `"[::]:`, "`[::]:"} {
		for rest := data; ; {
			_, after, found := bytes.Cut(rest, []byte(quote))
			if !found {
				break
			}
			if len(after) > 0 && after[0] >= '1' && after[0] <= '9' {
				return true
			}
			rest = after
		}
	}
	for _, word := range []string{"port", "Port", "PORT"} {
		for rest := data; ; {
			before, after, found := bytes.Cut(rest, []byte(word))
			if !found {
				break
			}
			if !inWord(before, len(before)-1) && !inWord(after, 0) {
				return true
			}
			rest = after
		}
	}
	return false
}

// inWord reports whether the byte at i is a letter, a digit or an underscore.
func inWord(data []byte, i int) bool {
	if i < 0 || i >= len(data) {
		return false
	}
	c := data[i]
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// literal returns the text of a string or of a number, or "".
func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	if text, err := strconv.Unquote(lit.Value); err == nil && lit.Kind == token.STRING {
		return text
	}
	return lit.Value
}

// validPort reports whether a text is the number of a port.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '0'
}

// sortPorts sorts by number, then by protocol.
func sortPorts(ports []string) {
	slices.SortFunc(ports, func(a, b string) int {
		x, protoX, _ := strings.Cut(a, "/")
		y, protoY, _ := strings.Cut(b, "/")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x+protoX, y+protoY)
	})
}

// versionVariable returns the name of a string variable of package main whose name shows that the linker's -X should
// set it.
func (t *survey) versionVariable(dir string, files []string) string {
	for _, name := range files {
		data, err := fs.ReadFile(t, path.Join(dir, name))
		if err != nil || len(data) > maxSource {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		for _, decl := range file.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok && gen.Tok == token.VAR {
				if v := versionSpec(gen); v != "" {
					return v
				}
			}
		}
	}
	return ""
}

func versionSpec(gen *ast.GenDecl) string {
	for _, spec := range gen.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range v.Names {
			if name.Name != "version" && name.Name != "Version" {
				continue
			}
			if i < len(v.Values) {
				if lit, ok := v.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					return name.Name
				}
			} else if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "string" {
				return name.Name
			}
		}
	}
	return ""
}
