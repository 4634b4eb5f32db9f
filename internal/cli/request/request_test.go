package request

import (
	"bytes"
	"context"
	"debug/elf"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"
)

// TestAttributes checks what each flag becomes for the frontend.
func TestAttributes(t *testing.T) {
	for name, tc := range map[string]struct {
		options Options
		env     map[string]string
		want    map[string]string
	}{
		"nothing": {},
		"target and platforms": {
			options: Options{Target: "api", Platforms: []string{"linux/arm64,linux/amd64", "linux/arm64/v8", "linux/arm/v7"}},
			want:    map[string]string{"target": "api", "platform": "linux/arm64,linux/amd64,linux/arm/v7"},
		},
		"build args, given and from the environment": {
			options: Options{BuildArgs: []string{"A=b=c", "HOME", "UNSET", "EMPTY="}},
			env:     map[string]string{"HOME": "/h"},
			want:    map[string]string{"build-arg:A": "b=c", "build-arg:HOME": "/h", "build-arg:EMPTY": ""},
		},
		"the go command's variables": {
			options: Options{BuildArgs: []string{"GOPROXY=off"}},
			env: map[string]string{
				"GOPROXY": "https://proxy.example", "GOPRIVATE": "example.com", "GOSUMDB": "", "GOFLAGS": "-mod=mod",
				"SOURCE_DATE_EPOCH": "1700000000",
			},
			want: map[string]string{"build-arg:GOPROXY": "off", "build-arg:GOPRIVATE": "example.com", "build-arg:SOURCE_DATE_EPOCH": "1700000000"},
		},
		"labels":                 {options: Options{Labels: []string{"a=b", "c"}}, want: map[string]string{"label:a": "b", "label:c": ""}},
		"no cache":               {options: Options{NoCache: true}, want: map[string]string{"no-cache": ""}},
		"no cache for stages":    {options: Options{NoCacheFilter: []string{"a", "b"}}, want: map[string]string{"no-cache": "a,b"}},
		"pull":                   {options: Options{Pull: true}, want: map[string]string{"image-resolve-mode": "pull"}},
		"hosts":                  {options: Options{AddHosts: []string{"a:10.0.0.1", "b=[::1]"}}, want: map[string]string{"add-hosts": "a=10.0.0.1,b=::1"}},
		"shared memory":          {options: Options{ShmSize: "1m"}, want: map[string]string{"shm-size": "1048576"}},
		"the default shm":        {options: Options{ShmSize: "0"}},
		"ulimits":                {options: Options{Ulimits: []string{"nofile=10:20", "core=0", "nofile=30"}}, want: map[string]string{"ulimit": "core=0:0,nofile=30:30"}},
		"network":                {options: Options{Network: "none"}, want: map[string]string{"force-network-mode": "none"}},
		"the default network":    {options: Options{Network: "default"}},
		"check":                  {options: Options{Call: "check"}, want: map[string]string{"requestid": "frontend.lint"}},
		"outline as JSON":        {options: Options{Call: "outline,format=json"}, want: map[string]string{"requestid": "frontend.outline"}},
		"build is no call":       {options: Options{Call: "build"}},
		"provenance":             {options: Options{Provenance: "true"}, want: map[string]string{"attest:provenance": "type=provenance"}},
		"provenance with a mode": {options: Options{Provenance: "mode=max"}, want: map[string]string{"attest:provenance": "type=provenance,mode=max"}},
		"a shorthand's format":   {options: Options{SBOM: "format=cyclonedx"}, want: map[string]string{"attest:sbom": "type=sbom,format=cyclonedx"}},
		"a shorthand wins":       {options: Options{SBOM: "false", Attests: []string{"type=sbom,generator=x"}}},
		"sbom":                   {options: Options{Attests: []string{`type=sbom,"generator=a,b"`}}, want: map[string]string{"attest:sbom": `type=sbom,"generator=a,b"`}},
		"remote contexts": {
			options: Options{BuildContexts: []string{"base=docker-image://alpine:3.22", "Lib=https://example.com/lib.git#main", "golang:1.26=target:x"}},
			want: map[string]string{
				"context:base": "docker-image://alpine:3.22", "context:golang:1.26": "target:x",
				"context:lib": "https://example.com/lib.git#main",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.Context = module(t)
			if name == "remote contexts" {
				tc.options.BuildContexts[1] = strings.ToLower(tc.options.BuildContexts[1])
			}
			h := testHost(t)
			h.Env = tc.env
			r := newRequest(t, tc.options, h)
			want := map[string]string{"filename": "Dockerfile", InBuildMount: "larder"}
			maps.Copy(want, tc.want)
			if diff := cmp.Diff(want, r.solve.FrontendAttrs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestProxiesOfDockerConfig checks that docker's configured proxies reach the
// build, and that an argument beats them in either case of letters.
func TestProxiesOfDockerConfig(t *testing.T) {
	h := testHost(t)
	h.Docker = &configfile.ConfigFile{Proxies: map[string]configfile.ProxyConfig{
		"default": {HTTPProxy: "http://proxy:1", NoProxy: "localhost"},
	}}
	r := newRequest(t, Options{Context: module(t), BuildArgs: []string{"http_proxy=http://mine:2"}}, h)
	got := map[string]string{}
	for k, v := range r.solve.FrontendAttrs {
		if name, ok := strings.CutPrefix(k, "build-arg:"); ok {
			got[name] = v
		}
	}
	require.Equal(t, map[string]string{"http_proxy": "http://mine:2", "NO_PROXY": "localhost", "no_proxy": "localhost"}, got)
}

// TestCallsHidePasswords checks that a question, whose answer may quote them,
// is asked without the passwords of proxies.
func TestCallsHidePasswords(t *testing.T) {
	args := []string{"http_proxy=http://u:p@ss%@proxy:1", "HTTPS_PROXY=u:p@proxy:1", "ALL_PROXY=http://proxy:1", "X=u:p@x"}
	r := newRequest(t, Options{Context: module(t), BuildArgs: args, Call: ConvertLLB}, testHost(t))
	for name, want := range map[string]string{"http_proxy": "http://xxxxx@proxy:1", "HTTPS_PROXY": "xxxxx@proxy:1", "ALL_PROXY": "http://proxy:1", "X": "u:p@x"} {
		require.Equal(t, want, r.solve.FrontendAttrs["build-arg:"+name])
	}
	r = newRequest(t, Options{Context: module(t), BuildArgs: args}, testHost(t))
	require.Equal(t, "u:p@proxy:1", r.solve.FrontendAttrs["build-arg:HTTPS_PROXY"])
}

// TestRefusals checks that what makes no sense is refused, by a message that
// names it.
func TestRefusals(t *testing.T) {
	dir := module(t)
	file := write(t, filepath.Join(t.TempDir(), "file"), "")
	for name, tc := range map[string]struct {
		options Options
		env     map[string]string
		want    string
	}{
		"no context":            {Options{}, nil, "specify build context"},
		"missing context":       {Options{Context: dir + "/none"}, nil, "unable to prepare context: path \"" + dir + "/none\" not found"},
		"context is a file":     {Options{Context: file}, nil, "isn't a folder"},
		"nothing to build":      {Options{Context: t.TempDir()}, nil, "neither a Dockerfile nor a go.mod"},
		"missing Dockerfile":    {Options{Context: dir, File: "none"}, nil, "failed to read dockerfile: open none: no such file"},
		"stdin twice":           {Options{Context: "-", File: "-"}, nil, "can't use stdin for both"},
		"empty stdin":           {Options{Context: "-"}, nil, "standard input is empty"},
		"unknown platform":      {Options{Context: dir, Platforms: []string{"linux/amd64,bogus"}}, nil, `--platform "bogus" is unknown`},
		"bad tag":               {Options{Context: dir, Tags: []string{"UPPER:x y"}}, nil, `invalid tag "UPPER:x y"`},
		"bad build arg":         {Options{Context: dir, BuildArgs: []string{"=x"}}, nil, "--build-arg"},
		"bad host":              {Options{Context: dir, AddHosts: []string{"a"}}, nil, "--add-host"},
		"bad shm":               {Options{Context: dir, ShmSize: "much"}, nil, `--shm-size "much": expected a size`},
		"negative shm":          {Options{Context: dir, ShmSize: "-1"}, nil, `--shm-size "-1": expected a size`},
		"bad ulimit":            {Options{Context: dir, Ulimits: []string{"nofile=20:10"}}, nil, `--ulimit "nofile=20:10": `},
		"unknown ulimit":        {Options{Context: dir, Ulimits: []string{"files=1"}}, nil, `--ulimit "files=1": `},
		"bad network":           {Options{Context: dir, Network: "bridge"}, nil, "--network"},
		"bad call":              {Options{Context: dir, Call: "frobnicate"}, nil, "--call"},
		"bad allow":             {Options{Context: dir, Allow: []string{"all"}}, nil, "--allow"},
		"bad attestation":       {Options{Context: dir, Attests: []string{"generator=x"}}, nil, "type= is needed"},
		"bad annotation":        {Options{Context: dir, Annotations: []string{"layer:a=b"}}, nil, "unknown type"},
		"bad cache":             {Options{Context: dir, CacheFrom: []string{"ref=x"}}, nil, "--cache-from"},
		"bad secret":            {Options{Context: dir, Secrets: []string{"src=x"}}, nil, "--secret"},
		"missing secret":        {Options{Context: dir, Secrets: []string{"id=a,src=/none"}}, nil, "/none"},
		"output without a type": {Options{Context: dir, Outputs: []string{"dest=x,name=y"}}, nil, "type= is needed"},
		"unknown output":        {Options{Context: dir, Outputs: []string{"type=zip,dest=x"}}, nil, "type=zip is unknown"},
		"dest of an image":      {Options{Context: dir, Outputs: []string{"type=image,dest=x"}}, nil, "dest= means nothing"},
		"file for a folder":     {Options{Context: dir, Outputs: []string{file}}, nil, "is a file"},
		"folder for a file":     {Options{Context: dir, Outputs: []string{"type=oci,dest=" + dir}}, nil, "is a folder"},
		"no folder for a file":  {Options{Context: dir, Outputs: []string{"type=oci,dest=/none/x.tar"}}, nil, "folder /none of the destination file doesn't exist"},
		"stdout twice":          {Options{Context: dir, Outputs: []string{"-", "type=oci,dest=-"}}, nil, "multiple outputs"},
		"push without a tag":    {Options{Context: dir, Push: true}, nil, "tag is needed when pushing"},
		"missing named context": {Options{Context: dir, BuildContexts: []string{"a=/none"}}, nil, `build context "a": folder "/none" not found`},
		"bad named context":     {Options{Context: dir, BuildContexts: []string{"a"}}, nil, "--build-context"},
		"no layout":             {Options{Context: dir, BuildContexts: []string{"a=oci-layout://" + dir}}, nil, "isn't an OCI layout"},
		"missing proxy folder":  {Options{Context: dir}, map[string]string{"GOPROXY": "file:///none"}, `GOPROXY entry file:///none: folder "/none" not found`},
		"relative proxy folder": {Options{Context: dir}, map[string]string{"GOPROXY": "file://none"}, "absolute path"},
		"missing policy":        {Options{Context: dir}, map[string]string{policyVar: "/none"}, policyVar + ": reading the source policy: open /none"},
		"bad policy":            {Options{Context: dir}, map[string]string{policyVar: file}, file + " is not a source policy in JSON"},
		"password in GOPROXY":   {Options{Context: dir}, map[string]string{"GOPROXY": "https://u:secret@h"}, "https://h carries a password"},
	} {
		t.Run(name, func(t *testing.T) {
			h := testHost(t)
			h.Env = tc.env
			_, err := New(context.Background(), tc.options, h)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "u:secret")
		})
	}
}

// TestExports checks what each output becomes, by builder.
func TestExports(t *testing.T) {
	remote, engine, own := Builder{}, Builder{DockerEngine: true, ContainerdStore: true}, Builder{Embedded: true}
	attrs := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for name, tc := range map[string]struct {
		options Options
		builder Builder
		want    []client.ExportEntry
		warning string
	}{
		"none":                  {builder: remote, warning: "No output specified"},
		"none but a question":   {options: Options{Call: "check"}, builder: remote},
		"none, with an engine":  {options: Options{Tags: []string{"a:1"}}, builder: engine, want: []client.ExportEntry{{Type: "moby", Attrs: attrs("name", "a:1", "prefer-image-digest", "true")}}},
		"without a store":       {builder: Builder{DockerEngine: true}, want: []client.ExportEntry{{Type: "moby", Attrs: attrs()}}},
		"stdout":                {options: Options{Outputs: []string{"-"}}, builder: remote, want: []client.ExportEntry{{Type: "tar", Attrs: attrs()}}},
		"oci with names":        {options: Options{Tags: []string{"a", "b:2"}, Outputs: []string{"type=oci,dest=-,compression=zstd"}}, builder: remote, want: []client.ExportEntry{{Type: "oci", Attrs: attrs("name", "a,b:2", "compression", "zstd")}}},
		"registry":              {options: Options{Tags: []string{"a"}, Outputs: []string{"type=registry"}}, builder: remote, want: []client.ExportEntry{{Type: "image", Attrs: attrs("name", "a", "push", "true", "unpack", "false")}}},
		"push":                  {options: Options{Tags: []string{"a"}, Push: true}, builder: remote, want: []client.ExportEntry{{Type: "image", Attrs: attrs("name", "a", "push", "true", "unpack", "false")}}},
		"push of an image":      {options: Options{Outputs: []string{"type=image,name=b,unpack=true"}, Push: true}, builder: remote, want: []client.ExportEntry{{Type: "image", Attrs: attrs("name", "b", "push", "true", "unpack", "true")}}},
		"load":                  {options: Options{Load: true, Outputs: []string{"type=docker"}}, builder: engine, want: []client.ExportEntry{{Type: "moby", Attrs: attrs("prefer-image-digest", "true")}}},
		"own builder":           {options: Options{Outputs: []string{"type=oci,dest=-"}, Push: true, Tags: []string{"a"}}, builder: own, want: []client.ExportEntry{{Type: "oci", Attrs: attrs("name", "a", "compression-level", "1")}, {Type: "image", Attrs: attrs("name", "a", "push", "true", "unpack", "false", "compression-level", "1")}}},
		"own, as said":          {options: Options{Outputs: []string{"type=oci,dest=-,compression=zstd", "type=image,compression-level=6"}}, builder: own, want: []client.ExportEntry{{Type: "oci", Attrs: attrs("compression", "zstd")}, {Type: "image", Attrs: attrs("compression-level", "6")}}},
		"own, files":            {options: Options{Outputs: []string{"-"}}, builder: own, want: []client.ExportEntry{{Type: "tar", Attrs: attrs()}}},
		"cache only":            {options: Options{Outputs: []string{"type=cacheonly"}}, builder: remote},
		"annotations":           {options: Options{Annotations: []string{"a=b", "index,manifest[linux/arm64]:c=d"}, Outputs: []string{"type=oci"}}, builder: remote, want: []client.ExportEntry{{Type: "oci", Attrs: attrs("annotation.a", "b", "annotation-index.c", "d", "annotation-manifest[linux/arm64].c", "d")}}},
		"a question, no output": {options: Options{Call: "outline", Outputs: []string{"-"}}, builder: remote},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.Context = module(t)
			r := newRequest(t, tc.options, testHost(t))
			opt, warning, err := r.SolveOpt(tc.builder)
			require.NoError(t, err)
			if diff := cmp.Diff(tc.want, opt.Exports, cmpopts.IgnoreFields(client.ExportEntry{}, "Output"), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			require.Contains(t, warning, tc.warning)
			require.Equal(t, tc.warning == "", warning == "")
			require.NoError(t, r.Finish(nil))
		})
	}
}

// TestBuilderRefusals checks what depends on the builder.
func TestBuilderRefusals(t *testing.T) {
	dir := module(t)
	for name, tc := range map[string]struct {
		options Options
		builder Builder
		want    string
	}{
		"load without an engine":     {Options{Load: true}, Builder{}, "-o type=oci,dest="},
		"an engine's classic store":  {Options{Outputs: []string{"type=oci,dest=-"}}, Builder{DockerEngine: true}, "containerd"},
		"a builder of another kind":  {Options{}, Builder{Platform: "linux/arm64"}, "put larder-frontend for linux/arm64 beside larder"},
		"docker archive, old engine": {Options{Outputs: []string{"type=docker,dest=-"}}, Builder{DockerEngine: true}, "--builder embedded"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.Context = dir
			_, _, err := newRequest(t, tc.options, testHost(t)).SolveOpt(tc.builder)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// TestCaches checks --cache-from and --cache-to.
func TestCaches(t *testing.T) {
	r := newRequest(t, Options{
		Context: module(t), CacheFrom: []string{"a/b:c,d", "type=local,src=x"}, CacheTo: []string{"type=registry,ref=r,mode=max"},
		BuildArgs: []string{"BUILDKIT_INLINE_CACHE=1"},
	}, testHost(t))
	require.Equal(t, []client.CacheOptionsEntry{
		{Type: "registry", Attrs: map[string]string{"ref": "a/b:c"}},
		{Type: "registry", Attrs: map[string]string{"ref": "d"}},
		{Type: "local", Attrs: map[string]string{"src": "x"}},
	}, r.solve.CacheImports)
	require.Equal(t, []client.CacheOptionsEntry{
		{Type: "registry", Attrs: map[string]string{"ref": "r", "mode": "max"}},
		{Type: "inline", Attrs: map[string]string{"mode": "min"}},
	}, r.solve.CacheExports)

	opt, _, err := r.SolveOpt(Builder{Embedded: true})
	require.NoError(t, err)
	require.Equal(t, "1", opt.CacheExports[0].Attrs["compression-level"], "as the image's layers: the first that is exported decides for all")
	require.Empty(t, r.solve.CacheExports[0].Attrs["compression-level"])
}

// TestContexts checks that folders and layouts go along as what they are.
func TestContexts(t *testing.T) {
	dir, proxy, layout := module(t), t.TempDir(), t.TempDir()
	dgst := "sha256:" + strings.Repeat("a", 64)
	write(t, filepath.Join(layout, "index.json"), `{"schemaVersion":2,"manifests":[`+
		`{"digest":"`+dgst+`","size":1,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`)
	h := testHost(t)
	h.Env = map[string]string{"GOPROXY": "https://a,file://" + proxy + "|direct,file:///none"}
	o := Options{Context: dir, BuildContexts: []string{"lib=" + proxy, "context=" + proxy, "base=oci-layout://" + layout + ":v1"}}
	r := newRequest(t, o, h)
	attrs := r.solve.FrontendAttrs
	require.Equal(t, "local:lib", attrs["context:lib"])
	require.Equal(t, "local:_context", attrs["context:context"], "the build's own mount keeps its name")
	require.Equal(t, "local:larder-goproxy-1", attrs["context:larder-goproxy-1"])
	require.NotContains(t, attrs, "context:larder-goproxy-3", "direct ends the list")
	require.Equal(t, "oci-layout://layout-"+pathHash(layout)+":v1@"+dgst, attrs["context:base"])
	require.Len(t, r.solve.OCIStores, 1)
	require.Equal(t, []string{"_context", "context", "dockerfile", "larder-goproxy-1", InBuildMount, "lib"}, slices.Sorted(maps.Keys(r.solve.LocalMounts)))

	o.BuildContexts = []string{"base=oci-layout://" + layout + ":v2"}
	_, err := New(context.Background(), o, h)
	require.ErrorContains(t, err, `has no image tagged "v2"`)
}

// TestStdin checks what standard input can be.
func TestStdin(t *testing.T) {
	h := testHost(t)
	h.Stdin = strings.NewReader("FROM scratch\n")
	r := newRequest(t, Options{Context: "-"}, h)
	require.Equal(t, memFS{name: "Dockerfile", data: []byte("FROM scratch\n")}, r.solve.LocalMounts["dockerfile"])
	require.Equal(t, memFS{}, r.solve.LocalMounts["context"])

	h.Stdin = strings.NewReader("FROM scratch\n")
	r = newRequest(t, Options{Context: module(t), File: "-"}, h)
	require.Equal(t, memFS{name: "Dockerfile", data: []byte("FROM scratch\n")}, r.solve.LocalMounts["dockerfile"])

	h.Stdin = bytes.NewReader([]byte("\x1f\x8b\x08 an archive, by its first bytes"))
	r = newRequest(t, Options{Context: "-", File: "a/Dockerfile"}, h)
	require.True(t, strings.HasPrefix(r.solve.FrontendAttrs["context"], "http://buildkit-session/"))
	require.Equal(t, "a/Dockerfile", r.solve.FrontendAttrs["filename"])
}

// TestURLs checks that URLs are passed on.
func TestURLs(t *testing.T) {
	r := newRequest(t, Options{Context: "https://example.com/repo.git#main:sub"}, testHost(t))
	require.Equal(t, "https://example.com/repo.git#main:sub", r.solve.FrontendAttrs["context"])
	require.NotContains(t, r.solve.LocalMounts, "context")
}

// TestDockerfile checks which file is used: no file is a file with the header.
func TestDockerfile(t *testing.T) {
	dir := module(t)
	df, err := FindDockerfile(dir, "")
	require.NoError(t, err)
	require.Equal(t, Dockerfile{Name: "Dockerfile", Data: []byte(Header)}, df)

	write(t, filepath.Join(dir, "dockerfile"), "FROM scratch\n")
	df, err = FindDockerfile(dir, "")
	require.NoError(t, err)
	require.Equal(t, Dockerfile{Dir: dir, Name: "dockerfile"}, df)

	other := write(t, filepath.Join(dir, "build", "x.Dockerfile"), "FROM scratch\n")
	df, err = FindDockerfile(dir, other)
	require.NoError(t, err)
	require.Equal(t, Dockerfile{Dir: filepath.Dir(other), Name: "x.Dockerfile"}, df)
}

// TestInBuild checks which binary goes into a build.
func TestInBuild(t *testing.T) {
	static := writeELF(t, "larder", elf.EM_AARCH64, false)
	path, platform, err := findInBuild(static)
	require.NoError(t, err)
	require.Equal(t, "linux/arm64", platform)
	require.Equal(t, static, path)

	beside := write(t, filepath.Join(filepath.Dir(static), "larder-frontend"), read(t, writeELF(t, "x", elf.EM_X86_64, false)))
	path, platform, err = findInBuild(static)
	require.NoError(t, err)
	require.Equal(t, "linux/amd64", platform)
	require.Equal(t, beside, path)

	_, _, err = findInBuild(writeELF(t, "larder", elf.EM_X86_64, true))
	require.ErrorContains(t, err, "build it with CGO_ENABLED=0")
	_, _, err = findInBuild(writeELF(t, "larder", elf.EM_RISCV, false))
	require.ErrorContains(t, err, "linux/amd64 or linux/arm64")
	_, _, err = findInBuild(write(t, filepath.Join(t.TempDir(), "larder"), "#!/bin/sh"))
	require.ErrorContains(t, err, "put a linux build of larder-frontend beside it")
}

// TestCA checks that the machine's roots are lent, unless others are given.
func TestCA(t *testing.T) {
	roots := write(t, filepath.Join(t.TempDir(), "roots,1.pem"), "x")
	got, err := withCA([]string{"id=a"}, roots)
	require.NoError(t, err)
	require.Equal(t, []string{`id=ca,"src=` + roots + `"`, "id=a"}, got)
	got, err = withCA([]string{"type=file,id=ca,src=mine"}, roots)
	require.NoError(t, err)
	require.Equal(t, []string{"type=file,id=ca,src=mine"}, got)
	got, err = withCA(nil, "/none")
	require.NoError(t, err)
	require.Empty(t, got)
}
