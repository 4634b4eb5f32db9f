package gorecipe

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func recipe() Recipe {
	return Recipe{
		Platform: "linux/arm64", Toolchain: "go1.26.8", Module: "example.com/app", Dir: "api", Work: "go.work",
		Flags: []string{"-trimpath", "-tags=a,b"}, Env: []string{"GOEXPERIMENT=jsonv2"}, Imports: []string{"a.example/lib", "fmt"},
		Files: map[string]string{
			"go.work": "go 1.26\nuse ./api\n", "api/go.mod": "module example.com/app <&>\n",
			"api/go.sum": "a.example/lib v1.0.0 h1:aEwPZN4rYCM9qsIJDMx4cwuTJ9Lnbgmj0O95O7J5gyY=\n",
		},
	}
}

func TestRecipe(t *testing.T) {
	r := recipe()
	require.NoError(t, r.Check())
	require.True(t, IsKey(r.Key()))
	again, err := Parse(r.Text())
	require.NoError(t, err)
	require.Equal(t, r, again)
	require.Equal(t, r.Key(), again.Key())
	set, err := r.Sums()
	require.NoError(t, err)
	require.Len(t, set.Zips(), 1)

	// All that decides what is compiled is in the key.
	for what, change := range map[string]func(*Recipe){
		"platform": func(r *Recipe) { r.Platform = "linux/amd64" }, "toolchain": func(r *Recipe) { r.Toolchain = "go1.26.9" },
		"module": func(r *Recipe) { r.Module += "x" }, "folder": func(r *Recipe) { r.Dir = "." }, "workspace": func(r *Recipe) { r.Work = "" },
		"flags": func(r *Recipe) { r.Flags = r.Flags[:1] }, "settings": func(r *Recipe) { r.Env = nil }, "imports": func(r *Recipe) { r.Imports = r.Imports[:1] },
		"go.sum": func(r *Recipe) { r.Files["api/go.sum"] += "\n" },
	} {
		other := recipe()
		change(&other)
		require.NoError(t, other.Check(), what)
		require.NotEqual(t, r.Key(), other.Key(), what)
	}
}

// What would run a program, read a file elsewhere or write one is no recipe.
func TestHostileRecipes(t *testing.T) {
	for want, change := range map[string]func(*Recipe){
		`platform "linux"`:                         func(r *Recipe) { r.Platform = "linux" },
		`toolchain "../go"`:                        func(r *Recipe) { r.Toolchain = "../go" },
		`folder "../x"`:                            func(r *Recipe) { r.Dir = "../x" },
		`workspace "other/go.work"`:                func(r *Recipe) { r.Work = "other/go.work" },
		"nothing is imported":                      func(r *Recipe) { r.Imports = nil },
		`malformed import path "-toolexec=x"`:      func(r *Recipe) { r.Imports[0] = "-toolexec=x" },
		`malformed import path "./lib"`:            func(r *Recipe) { r.Imports[0] = "./lib" },
		`malformed import path "/a"`:               func(r *Recipe) { r.Module = "/a" },
		`flag "-toolexec=/src/x"`:                  func(r *Recipe) { r.Flags[0] = "-toolexec=/src/x" },
		`flag "-overlay=x"`:                        func(r *Recipe) { r.Flags[0] = "-overlay=x" },
		`flag "-gcflags=-d=x"`:                     func(r *Recipe) { r.Flags[0] = "-gcflags=-d=x" },
		`flag "-mod=mod"`:                          func(r *Recipe) { r.Flags[0] = "-mod=mod" },
		`flag "-tags=a\nb"`:                        func(r *Recipe) { r.Flags[0] = "-tags=a\nb" },
		`setting "GOFLAGS=-toolexec=x"`:            func(r *Recipe) { r.Env[0] = "GOFLAGS=-toolexec=x" },
		`setting "CC=x"`:                           func(r *Recipe) { r.Env[0] = "CC=x" },
		`setting "LD_PRELOAD=x"`:                   func(r *Recipe) { r.Env[0] = "LD_PRELOAD=x" },
		`file "../go.mod"`:                         func(r *Recipe) { r.Files["../go.mod"] = "" },
		`file "main.go"`:                           func(r *Recipe) { r.Files["main.go"] = "package main" },
		"file \"go.mod\": expected a go.mod, go.s": func(r *Recipe) { r.Files["go.mod"] = "\xff" },
	} {
		r := recipe()
		change(&r)
		require.ErrorContains(t, r.Check(), want)
		_, err := Parse(r.Text())
		require.Error(t, err, want)
	}
	for _, text := range []string{
		"", "{}", "null", " " + string(recipe().Text()), strings.Replace(string(recipe().Text()), "{", `{"more":1,`, 1),
		strings.Replace(string(recipe().Text()), "{", `{"dir":"x",`, 1), strings.Repeat(" ", MaxSize+1),
	} {
		_, err := Parse([]byte(text))
		require.Error(t, err, "%.80s", text)
	}
}

// What is parsed is a recipe, which is written as it was read.
func FuzzParse(f *testing.F) {
	f.Add(recipe().Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		require.NoError(t, r.Check())
		require.Equal(t, string(text), string(r.Text()))
	})
}
