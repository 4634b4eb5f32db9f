package gotoolchain

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

func TestChoose(t *testing.T) {
	mod := func(text string) VersionFile {
		f, err := modfile.Parse("go.mod", []byte("module x.example/m\n"+text), nil)
		require.NoError(t, err)
		return ModVersions("go.mod", f)
	}
	for name, tt := range map[string]struct {
		req           Request
		want, wantWhy string
		wantErr       string
	}{
		"nothing named":              {want: Default, wantWhy: "default"},
		"from release":               {req: Request{From: "1.26", Files: []VersionFile{mod("go 1.25")}}, want: "go1.26.10", wantWhy: "FROM go:1.26"},
		"from exact":                 {req: Request{From: "1.26.8", Files: []VersionFile{mod("go 1.26")}}, want: "go1.26.8"},
		"from latest":                {req: Request{From: "latest", Files: []VersionFile{mod("go 1.26")}}, want: "go1.26.10"},
		"from rc":                    {req: Request{From: "1.28rc1"}, want: "go1.28rc1"},
		"from unpinned release":      {req: Request{From: "1.24"}, want: "go1.24.0"},
		"from beats toolchain line":  {req: Request{From: "1.27", Files: []VersionFile{mod("go 1.26\ntoolchain go1.26.8")}}, want: "go1.27.3"},
		"from too old":               {req: Request{From: "1.25", Files: []VersionFile{mod("go 1.26")}}, wantErr: "go.mod needs go >= 1.26, but FROM go:1.25 chooses go1.25.14"},
		"from nonsense":              {req: Request{From: "1.26-alpine"}, wantErr: `FROM go:1.26-alpine: "1.26-alpine" is not a Go release`},
		"env":                        {req: Request{Env: "go1.26.8+auto", Files: []VersionFile{mod("go 1.26")}}, want: "go1.26.8", wantWhy: "GOTOOLCHAIN=go1.26.8+auto"},
		"env auto":                   {req: Request{Env: "auto", Files: []VersionFile{mod("go 1.26")}}, want: "go1.26.10"},
		"env nonsense":               {req: Request{Env: "mygo"}, wantErr: "GOTOOLCHAIN=mygo: \"mygo\" is not a Go release"},
		"toolchain line":             {req: Request{Files: []VersionFile{mod("go 1.25\ntoolchain go1.26.8")}}, want: "go1.26.8", wantWhy: "toolchain line of go.mod"},
		"toolchain default":          {req: Request{Files: []VersionFile{mod("go 1.25\ntoolchain default")}}, want: "go1.25.14"},
		"toolchain below go line":    {req: Request{Files: []VersionFile{mod("go 1.26.9\ntoolchain go1.26.8")}}, want: "go1.26.10"},
		"go release":                 {req: Request{Files: []VersionFile{mod("go 1.25")}}, want: "go1.25.14", wantWhy: "go 1.25"},
		"go patch":                   {req: Request{Files: []VersionFile{mod("go 1.26.3")}}, want: "go1.26.10"},
		"go newer patch than pinned": {req: Request{Files: []VersionFile{mod("go 1.26.99")}}, want: "go1.26.99"},
		"go newer than pinned":       {req: Request{Files: []VersionFile{mod("go 1.99")}}, want: "go1.99.0"},
		"go old":                     {req: Request{Files: []VersionFile{mod("go 1.17")}}, want: Default, wantWhy: "any later release"},
		"no go line":                 {req: Request{Files: []VersionFile{mod("")}}, want: Default},
		"newest of a workspace":      {req: Request{Files: []VersionFile{{Name: "go.work", Go: "1.25"}, {Name: "a/go.mod", Go: "1.26.2"}}}, want: "go1.26.10", wantWhy: "a/go.mod"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(tt.req)
			if tt.wantErr != "" {
				require.ErrorContains(t, err, tt.wantErr)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got.Version)
			require.Contains(t, got.Why, tt.wantWhy)
		})
	}
}

func TestPins(t *testing.T) {
	for v, platforms := range pins {
		for p, pin := range platforms {
			require.Contains(t, []string{"linux/amd64", "linux/arm64"}, p)
			require.Regexp(t, `^h1:[A-Za-z0-9+/]{43}=$`, pin.H1, v)
			require.Regexp(t, `^[0-9a-f]{64}$`, pin.SHA256, v)
		}
		require.Len(t, platforms, 2, v)
	}
	pin, ok := Toolchain{Version: Default}.Pin("linux/amd64")
	require.True(t, ok)
	require.NotEmpty(t, pin.H1)
	_, ok = Toolchain{Version: "go1.99.0"}.Pin("linux/amd64")
	require.False(t, ok)
	require.Equal(t, "v0.0.1-go1.26.8.linux-arm64", Toolchain{Version: "go1.26.8"}.ModuleVersion("linux", "arm64"))
}

func TestToolchainTag(t *testing.T) {
	require.Equal(t, "gotoolchain-go1.26.8.linux-amd64", Toolchain{Version: "go1.26.8"}.Tag("linux/amd64"))
	require.Equal(t, "gotoolchain-go1.26.8.linux-arm", Toolchain{Version: "go1.26.8"}.Tag("linux/arm/v7"))
}
