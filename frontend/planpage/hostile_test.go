package planpage

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/net/html"
)

// elements are those that a page has, with the attributes that each may have besides the common ones.
var elements = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "", "style": "", "body": "",
	"a": "href rel", "header": "", "nav": "", "main": "", "section": "", "h1": "", "h2": "", "p": "", "div": "data-label", "span": "", "small": "", "strong": "", "code": "", "pre": "",
	"ol": "", "ul": "", "li": "", "dl": "", "dt": "", "dd": "", "details": "", "summary": "",
	"table": "", "caption": "", "thead": "", "tbody": "", "tr": "", "th": "scope", "td": "data-label",
	"svg": "width height viewbox preserveaspectratio", "path": "d", "rect": "x y width height rx", "circle": "cx cy r",
}

var common = []string{"id", "class", "role", "aria-label", "aria-labelledby", "aria-hidden"}

// checkPage wants a page to have no element and no attribute that isn't the template's, all that it opens closed, each id
// once, links only to what is there or to the web, and a policy that allows its own style and nothing else.
func checkPage(t testing.TB, page []byte) {
	ids, links, open := map[string]bool{}, []string{}, []string{}
	policy, style := "", ""
	for z := html.NewTokenizer(bytes.NewReader(page)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		token := z.Token()
		switch kind {
		case html.CommentToken:
			t.Fatalf("a comment: %s", token)
		case html.TextToken:
			if len(open) > 0 && open[len(open)-1] == "style" {
				style += token.Data
			}
			continue
		case html.EndTagToken:
			require.NotEmpty(t, open)
			require.Equal(t, open[len(open)-1], token.Data)
			open = open[:len(open)-1]
			continue
		case html.DoctypeToken:
			continue
		}
		own, known := elements[token.Data]
		require.True(t, known, "the element %s", token)
		if kind == html.StartTagToken && token.Data != "meta" {
			open = append(open, token.Data)
		}
		for _, a := range token.Attr {
			require.True(t, slices.Contains(common, a.Key) || slices.Contains(strings.Fields(own), a.Key), "the attribute %s of %s", a.Key, token)
			switch {
			case a.Key == "id":
				require.False(t, ids[a.Val], "the id %s is there twice", a.Val)
				ids[a.Val] = true
			case a.Key == "href", a.Key == "aria-labelledby":
				links = append(links, a.Val)
			case a.Key == "content" && strings.HasPrefix(a.Val, "default-src"):
				policy = a.Val
			case a.Key == "http-equiv":
				require.Equal(t, "Content-Security-Policy", a.Val)
			}
		}
	}
	require.Empty(t, open)
	for _, link := range links {
		if to, inner := strings.CutPrefix(link, "#"); inner || !strings.Contains(link, ":") {
			require.True(t, ids[to], "nothing is at %s", link)
		} else {
			require.True(t, strings.HasPrefix(link, "https://"), link)
		}
	}
	sum := sha256.Sum256([]byte(style))
	require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; base-uri 'none'; form-action 'none'", policy)
	require.NotRegexp(t, `(?i)url\(|@import|expression`, style)
}

// attacks are texts that end what they are in, run, load or mislead, if they are written as they are.
var attacks = []string{
	`</script><script>alert(1)</script>`, `</style><style>*{display:none}</style>`, `<img src=x onerror=alert(1)>`, `"><svg onload=alert(1)>`, `' onmouseover='alert(1)`,
	`javascript:alert(1)`, `--><!--`, `<![CDATA[`, `&lt;b&gt;&#x3c;script&#x3e;`, `{{.Plan}}`, `</code></pre></details><base href=//evil.example>`, `<meta http-equiv=refresh content=0;url=//evil.example>`,
	"a\u202eb\u2066c\u200bd", "nul\x00 esc\x1b[31m bell\x07", "bad\xff\xfeutf8", `%s%n`, `expression(alert(1))`,
}

// TestAttacks puts hostile text everywhere that a page shows text from outside.
func TestAttacks(t *testing.T) {
	for _, bad := range attacks {
		file := dockerfile.Parse("Dockerfile", []byte("# "+bad+"\nFROM "+bad+" AS a\nRUN echo "+bad+"\nCOPY "+bad+" /\nLABEL a="+strconv.Quote(bad)+"\nFROM scratch\nCOPY --from=a "+bad+" /\n"))
		set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte("a.example/x v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")})
		require.NoError(t, err)
		at := []parser.Range{{Start: parser.Position{Line: 3}}}
		p := Page{
			File: file, Target: "", Contexts: []string{bad}, Now: time.Unix(0, 0), FactsFrom: bad,
			Files: []string{bad, bad + "/" + bad, "x/" + bad}, Facts: map[module.Version]Fact{{Path: "a.example/x", Version: "v1.0.0"}: {Size: 1, Time: time.Unix(0, 0), Licenses: []string{bad}}},
			Plan: &planner.Plan{
				Level: 2, Go: true, Filename: bad, Module: bad, Platforms: []string{bad}, BuildPlatform: bad, Dockerfile: strings.Replace(string(file.Data), "RUN echo", "RUN --mount=from="+bad+" echo", 1), Syntax: bad,
				Toolchains: []planner.Toolchain{{Version: bad, Why: bad, Source: planner.Source{URL: bad}}},
				Modules:    []*planner.Modules{{Context: planner.ContextPrefix + bad, Key: bad, Zips: 1, Sources: []planner.Source{{Image: bad}}, Set: set}},
				Packages:   []planner.Package{{Name: bad, Dir: bad, Stage: bad}},
				Steps:      []planner.Step{{Name: bad, Network: true, Platform: bad, Line: 3}, {Name: bad, Platform: bad}, {Name: bad, Context: planner.ContextPrefix + bad}},
				Rewrites:   []planner.Rewrite{{Line: 3, EndLine: 3, Text: bad, What: bad}}, CA: []int{3}, Notes: []planner.Note{{Line: 3, Text: bad}},
				Warnings: []planner.Warning{{Rule: bad, URL: bad, Message: bad, Location: at}, {Rule: bad, URL: "https://a.example/" + bad, Message: bad, Location: at}},
			},
		}
		page := write(t, p)
		checkAttacked(t, page)
		p.Plan.Level, p.Target, p.Plan.Syntax = 0, bad, ""
		checkAttacked(t, write(t, p))
	}
}

// checkAttacked is checkPage for a page of hostile text. Nothing in it hides or reorders what is beside it.
func checkAttacked(t testing.TB, page []byte) {
	checkPage(t, page)
	for _, r := range string(page) {
		require.True(t, r == '\n' || r >= ' ' && r != 0x7f && r != '\u202e' && r != '\u2066' && r != '\u200b', "the character %q", r)
	}
}

func FuzzPage(f *testing.F) {
	f.Add("FROM go\nGO build ./...\n", "main.go", "")
	f.Add("FROM a AS b\nRUN <<E\n</script>\nE\nFROM b\nCOPY --from=b . .\n", "a/b", "b")
	for _, bad := range attacks {
		f.Add("FROM "+bad+"\nRUN "+bad, bad, bad)
	}
	f.Fuzz(func(t *testing.T, text, name, target string) {
		file := dockerfile.Parse("Dockerfile", []byte(text))
		level := 2
		if file.HeaderOnly() {
			level = 0
		}
		data, err := Write(Page{File: file, Target: target, Files: []string{name}, Plan: &planner.Plan{Level: level, Dockerfile: text, Module: name, Packages: []planner.Package{{Dir: name, Stage: "x"}}}})
		require.NoError(t, err)
		checkAttacked(t, data)
	})
}

// TestHuge wants the page of a tree of 5,000 packages and modules, and of a file of seven megabytes, to be bounded, and to have
// what people look for in it.
func TestHuge(t *testing.T) {
	const many = 5000
	tree := fstest.MapFS{"go.mod": {Data: []byte("module example.com/huge\n\ngo 1.26\n")}}
	var imports, sums strings.Builder
	for i := range many {
		dir := fmt.Sprintf("team%d/service%d/pkg%d", i%70, i%700, i)
		tree[dir+"/p.go"] = &fstest.MapFile{Data: []byte("package p\n")}
		tree[dir+"/README.md"] = &fstest.MapFile{}
		if i%2 == 0 {
			fmt.Fprintf(&imports, "import _ \"example.com/huge/%s\"\n", dir)
		}
		fmt.Fprintf(&sums, "m.example/%smod%d v1.0.%d h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", strings.Repeat("long/", 20), i, i)
	}
	tree["go.sum"] = &fstest.MapFile{Data: []byte(sums.String())}
	tree["cmd/all/main.go"] = &fstest.MapFile{Data: []byte("package main\n\n" + imports.String() + "\nfunc main() {}\n")}
	var stages strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&stages, "FROM scratch AS s%d\nCOPY --from=s%d / /\n", i+1, i)
	}
	tree["Dockerfile"] = &fstest.MapFile{Data: []byte("FROM go AS build\nGO build -o /out/all ./cmd/all\n" +
		strings.Repeat("RUN echo "+strings.Repeat("wide ", 1000)+"\n", 1500) + "FROM static AS s0\nCOPY --from=build /out/all /\n" + stages.String())}
	p := newPage(t, planner.Request{Platforms: []string{"linux/amd64"}}, tree)
	for _, m := range p.Plan.Modules {
		for _, sum := range m.Set.Zips() {
			p.Facts[sum.Module()] = Fact{Size: 1000, Time: p.Now.AddDate(-1, 0, 0), Licenses: []string{"MIT"}}
		}
	}
	page, err := Write(p)
	require.NoError(t, err)
	checkPage(t, page)
	require.Less(t, len(page), 4_000_000)
	for _, want := range []string{
		"5000 with source, 5.0 MB", "3000 modules more than a page shows", "MIT (5000)", "lines more than a page shows", "steps more than a page shows",
		"GO build -o /out/all ./cmd/all", "the rest of the stage build", "the rest of the stage s0", "Steps read 2503 of the 10004 files of the build context.", "team69/",
	} {
		require.True(t, bytes.Contains(page, []byte(want)), want)
	}
}

// TestHugeText wants a page to be bounded whatever the text is that it shows: characters that take most bytes, with notes and
// warnings at each line, and names of files.
func TestHugeText(t *testing.T) {
	quotes, odd := strings.Repeat(`"`, 3000), strings.Repeat("\U0010ffff", 1000)
	var text strings.Builder
	p := Page{Plan: &planner.Plan{Level: 2, Go: true, Filename: odd, Module: odd}}
	for i := range 1000 {
		fmt.Fprintf(&text, "FROM %s AS s%d\nRUN %s\nCOPY %s /\n", odd[:100], i, quotes, odd[:400])
		for line := 3*i + 1; line < 3*i+4; line++ {
			p.Plan.Rewrites = append(p.Plan.Rewrites, planner.Rewrite{Line: line, What: quotes})
			for range 20 {
				p.Plan.Notes = append(p.Plan.Notes, planner.Note{Line: line, Text: odd})
				p.Plan.Warnings = append(p.Plan.Warnings, planner.Warning{Rule: quotes, Message: odd, Location: []parser.Range{{Start: parser.Position{Line: line}}}})
			}
		}
		for k := range 3 {
			p.Files = append(p.Files, fmt.Sprintf("%d%s/%d%s/%d%s", i%100, quotes[:250], k, odd[:248], i, odd[:248]))
		}
	}
	text.WriteString("FROM scratch\nCOPY */*/*0* .\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "COPY --from=s%d / /\n", i)
	}
	p.File = dockerfile.Parse("Dockerfile", []byte(text.String()))
	p.Plan.Dockerfile = text.String() + strings.Repeat("# "+quotes+"\n", 1000)
	page, err := Write(p)
	require.NoError(t, err)
	checkAttacked(t, page)
	require.Less(t, len(page), 4_000_000)
	require.True(t, bytes.Contains(page, []byte("more than a page shows")))
}
