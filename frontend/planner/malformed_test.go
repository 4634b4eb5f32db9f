package planner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// hangs is far more than any file takes on any machine. It tells a slow machine from a loop.
const hangs = 30 * time.Minute

// TestMalformed runs each archive of testdata/malformed: its comment holds settings, as in TestPlan, and pieces of a
// Dockerfile that a text can't hold; its files are the build context; and its file WANT is the error that a user sees,
// with what it points at.
func TestMalformed(t *testing.T) {
	archives, err := filepath.Glob("testdata/malformed/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			req, want := malformedRequest(t, a)
			err = failure(t, req)
			require.Error(t, err, "the file is not malformed: nobody objects to it")
			checkPosition(t, req.File.Data, err)
			got := errorText(req.File.Data, err)
			require.NotContains(t, got, strings.TrimSuffix(ContextPrefix, "/"), "users don't know this name")
			if *update {
				writeWant(t, name, a, got)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("error differs (-want +got):\n%s\nrun 'go test -update' if that is right", diff)
			}
		})
	}
}

// malformedRequest reads an archive.
func malformedRequest(t *testing.T, a *txtar.Archive) (req Request, want string) {
	tree := fstest.MapFS{}
	for _, f := range a.Files {
		if f.Name == "WANT" {
			want = string(f.Data)
		} else {
			tree[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	var settings strings.Builder
	var made []byte
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "text", "repeat":
			made = append(made, piece(t, value)...)
		case "symlink":
			link, target, _ := strings.Cut(value, " ")
			tree[link] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(target)}
		default:
			settings.WriteString(line)
		}
	}
	if made != nil {
		tree["Dockerfile"] = &fstest.MapFile{Data: made}
	}
	req = requestOf(t, settings.String(), tree)
	req.Image = func(name, platform string) (ImageConfig, bool) {
		img := fakeImage(platforms.MustParse(platform))
		return ImageConfig{Env: img.Config.Env, User: img.Config.User, WorkingDir: img.Config.WorkingDir}, true
	}
	return req, want
}

// piece makes a piece of a Dockerfile: a text as Go quotes it or, with a number before it, that text so many times, in
// which %[1]d is the number of the copy.
func piece(t *testing.T, value string) []byte {
	count := 1
	if n, rest, ok := strings.Cut(value, " "); ok && value[0] != '"' {
		var err error
		count, err = strconv.Atoi(n)
		require.NoError(t, err)
		value = rest
	}
	text, err := strconv.Unquote(value)
	require.NoError(t, err, value)
	if !strings.Contains(text, "%") {
		return bytes.Repeat([]byte(text), count)
	}
	var b bytes.Buffer
	for i := range count {
		fmt.Fprintf(&b, text, i)
	}
	return b.Bytes()
}

// failure returns the error of the plan or, if it has none, that of BuildKit's converter for the plan's file.
func failure(t *testing.T, req Request) error {
	failed := make(chan error, 1)
	start := time.Now()
	go func() {
		p, err := New(req)
		if err == nil {
			err = convert(p, req)
		}
		failed <- err
	}()
	select {
	case err := <-failed:
		t.Log(time.Since(start).Round(time.Millisecond))
		return err
	case <-time.After(hangs):
		t.Fatal("it hangs")
		return nil
	}
}

// convert does what BuildKit's frontend does with the file of a plan.
func convert(p *Plan, req Request) error {
	target, caps := platforms.MustParse(req.Platforms[0]), pb.Caps.CapSet(pb.Caps.All())
	res, err := dockerfile2llb.Dockerfile2LLB(context.Background(), []byte(p.Dockerfile), dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs:      req.BuildArgs,
			Target:         req.Target,
			BuildPlatforms: []ocispecs.Platform{platforms.MustParse(req.BuildPlatform)},
		},
		TargetPlatform: &target,
		MetaResolver:   fakeRegistry{},
		LLBCaps:        &caps,
	})
	if err == nil {
		_, err = res.State.Marshal(context.Background(), llb.WithCaps(caps))
	}
	return err
}

// fakeRegistry has every image, Larder's own bases too.
type fakeRegistry struct{}

func (fakeRegistry) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, err := json.Marshal(fakeImage(*opt.ImageOpt.Platform))
	return ref, digest.FromString(ref), config, err
}

func fakeImage(p ocispecs.Platform) dockerspec.DockerOCIImage {
	img := dockerspec.DockerOCIImage{Image: ocispecs.Image{Platform: p}}
	img.RootFS.DiffIDs = []digest.Digest{digest.FromString("a layer")}
	img.Config.Env = []string{"PATH=/usr/local/go/bin:/usr/bin:/bin", "GOPATH=/go"}
	img.Config.WorkingDir = "/go"
	return img
}

// checkPosition checks that an error points at nothing that isn't in the file.
func checkPosition(t *testing.T, file []byte, err error) {
	var at *parser.LocationError
	if !errors.As(err, &at) {
		return
	}
	lines := bytes.Split(file, []byte("\n"))
	for _, r := range at.Locations[0] {
		require.LessOrEqual(t, r.Start.Line, len(lines))
		require.LessOrEqual(t, r.Start.Line, r.End.Line)
		if r.End.Character > 0 {
			require.Less(t, r.Start.Character, r.End.Character)
			require.LessOrEqual(t, r.End.Character, len(bytes.TrimRight(lines[r.End.Line-1], "\r")))
		}
	}
}

// errorText shows an error, where it points at, and what is there.
func errorText(file []byte, err error) string {
	const most = 600
	message := visible(cut(err.Error(), most))
	var at *parser.LocationError
	if !errors.As(err, &at) {
		return "no position: " + message + "\n"
	}
	var places []string
	for _, ranges := range at.Locations {
		places = append(places, place(ranges))
	}
	return strings.Join(places, "; ") + ": " + message + "\n" + excerpt(file, at.Locations[0])
}

// place names a range of lines, or of columns, both counted from 1.
func place(ranges []parser.Range) string {
	first, last := ranges[0], ranges[len(ranges)-1]
	switch {
	case last.End.Line != first.Start.Line:
		return fmt.Sprintf("lines %d-%d", first.Start.Line, last.End.Line)
	case last.End.Character == 0:
		return fmt.Sprintf("line %d", first.Start.Line)
	}
	return fmt.Sprintf("line %d, columns %d-%d", first.Start.Line, first.Start.Character+1, last.End.Character)
}

// excerpt shows the first lines that an error points at and, under one line, the columns.
func excerpt(file []byte, ranges []parser.Range) string {
	const most, width = 4, 100
	var b strings.Builder
	lines := strings.Split(string(file), "\n")
	for i, r := range ranges {
		if r.Start.Line < 1 || i == most {
			break
		}
		line := lines[r.Start.Line-1]
		fmt.Fprintf(&b, "    %s\n", visible(cut(line, width)))
		if r.End.Character > 0 && r.End.Character <= width {
			before, below := visible(line[:r.Start.Character]), visible(line[r.Start.Character:r.End.Character])
			fmt.Fprintf(&b, "    %s%s\n", strings.Repeat(" ", len([]rune(before))), strings.Repeat("^", len([]rune(below))))
		}
	}
	return b.String()
}

func cut(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// visible writes what can't be seen as Go does in a string.
func visible(s string) string {
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}
