package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/moby/buildkit/util/imageutil"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// A fakeBuilder is BuildKit without a daemon: it reads files out of memory and notes whatever else it is asked.
type fakeBuilder struct {
	gateway.Client // nil: what isn't implemented here, no frontend may call

	opts   gateway.BuildOpts
	inputs map[string]llb.State
	files  fs.FS
	roots  map[string]string // folders of files, by the source that has them

	mu    sync.Mutex
	asked asked
}

// asked is what a frontend asked of a builder, as text.
type asked struct {
	reads    map[string]bool // solves of nothing but what files are read from
	solves   []string
	images   map[string]bool
	metadata map[string]bool
	warnings []string
}

func newFakeBuilder(files fs.FS) *fakeBuilder {
	amd64 := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	return &fakeBuilder{
		opts: gateway.BuildOpts{
			Opts: map[string]string{}, SessionID: "session", Product: "superset",
			Workers: []gateway.WorkerInfo{{ID: "worker", Platforms: []ocispecs.Platform{amd64}}},
			LLBCaps: pb.Caps.CapSet(pb.Caps.All()), Caps: gwpb.Caps.CapSet(gwpb.Caps.All()),
		},
		inputs: map[string]llb.State{},
		files:  files,
		roots:  map[string]string{"local://dockerfile": ".", "local://context": "."},
		asked:  asked{reads: map[string]bool{}, images: map[string]bool{}, metadata: map[string]bool{}},
	}
}

// withoutCaps takes capabilities away, as an older builder lacks them.
func (b *fakeBuilder) withoutCaps(ids []string) {
	without := func(all []*apicaps.PBCap) []*apicaps.PBCap {
		var left []*apicaps.PBCap
		for _, c := range all {
			if !slices.Contains(ids, c.ID) {
				left = append(left, c)
			}
		}
		return left
	}
	b.opts.LLBCaps, b.opts.Caps = pb.Caps.CapSet(without(pb.Caps.All())), gwpb.Caps.CapSet(without(gwpb.Caps.All()))
}

func (b *fakeBuilder) BuildOpts() gateway.BuildOpts                         { return b.opts }
func (b *fakeBuilder) Inputs(context.Context) (map[string]llb.State, error) { return b.inputs, nil }

// Solve answers at once with a reference that says what it is of. Only one to a source in b.roots has files.
func (b *fakeBuilder) Solve(_ context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	text, err := requestText(req)
	if err != nil {
		return nil, err
	}
	ref := &fakeRef{text: text}
	root, served := b.roots[onlySource(req.Definition)]
	if served {
		if ref.files, err = fs.Sub(b.files, root); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if served {
		b.asked.reads[text] = true
	} else {
		b.asked.solves = append(b.asked.solves, text)
	}
	res := gateway.NewResult()
	res.SetRef(ref)
	return res, nil
}

// onlySource returns the one source that all of a definition is made from, or "".
func onlySource(def *pb.Definition) string {
	var only string
	for _, dt := range def.GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil || op.GetExec() != nil {
			return ""
		}
		if src := op.GetSource(); src != nil {
			if only != "" {
				return ""
			}
			only = src.Identifier
		}
	}
	// A local source may be of a part of the folder, as the attributes say; a git source names its ref behind a #.
	only, _, _ = strings.Cut(only, "#")
	return only
}

func (b *fakeBuilder) Warn(_ context.Context, dgst digest.Digest, msg string, opts gateway.WarnOpts) error {
	text, err := json.MarshalIndent(opts, "", " ")
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked.warnings = append(b.asked.warnings, fmt.Sprintf("%s at %s: %s", msg, dgst, text))
	return nil
}

// ResolveImageConfig answers with a config of fakeImages, or with a plain one.
func (b *fakeBuilder) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	question, err := json.Marshal(opt)
	if err != nil {
		return "", "", nil, err
	}
	b.mu.Lock()
	b.asked.images[ref+" "+string(question)] = true
	b.mu.Unlock()
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", nil, err
	}
	platform := b.opts.Workers[0].Platforms[0]
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		platform = *opt.ImageOpt.Platform
	}
	img := imageNamed(path.Base(named.Name()))
	switch {
	case img.missing:
		return "", "", nil, fmt.Errorf("%s: not found", ref)
	case img.missingOn == platform.Architecture:
		return "", "", nil, fmt.Errorf("%s: no match for platform %s: not found", ref, platforms.Format(platform))
	case img.becomes != "" && !strings.Contains(img.becomes, "://"):
		ref = img.becomes
	case img.becomes != "":
		return "", "", nil, &imageutil.ResolveToNonImageError{Ref: ref, Updated: img.becomes}
	}
	config, err := img.config(platform)
	if err != nil {
		return "", "", nil, err
	}
	return ref, digest.FromString(ref + platforms.Format(platform)), config, nil
}

const fakeCommit = `tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904
author A <a@a.example> 1700000000 +0000
committer A <a@a.example> 1700000001 +0000

Commit
`

// ResolveSourceMetadata knows images, git repositories and files of the web.
func (b *fakeBuilder) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	b.mu.Lock()
	b.asked.metadata[op.Identifier+" "+opt.LogName] = true
	b.mu.Unlock()
	res := &sourceresolver.MetaResponse{Op: op}
	scheme, rest, _ := strings.Cut(op.Identifier, "://")
	switch scheme {
	case "docker-image":
		_, dgst, config, err := b.ResolveImageConfig(ctx, rest, opt)
		if err != nil {
			return nil, err
		}
		res.Image = &sourceresolver.ResolveImageResponse{Digest: dgst, Config: config}
	case "git":
		res.Git = &sourceresolver.ResolveGitResponse{Checksum: "0123", CommitObject: []byte(fakeCommit)}
	case "http", "https":
		modified := time.Unix(1600000000, 0).UTC()
		res.HTTP = &sourceresolver.ResolveHTTPResponse{Digest: digest.FromString(rest), LastModified: &modified}
	}
	return res, nil
}

// A fakeRef is the result of a solve.
type fakeRef struct {
	gateway.Reference

	text  string // what was solved
	files fs.FS  // nil if the test has no files for it
}

func (r *fakeRef) Evaluate(context.Context) error { return nil }

// stat fails with the text that BuildKit's error has once it has come through gRPC.
func (r *fakeRef) stat(op, name string) (fs.FileInfo, error) {
	if r.files == nil {
		return nil, fmt.Errorf("no files in %s", r.text)
	}
	fi, err := fs.Stat(r.files, clean(name))
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: path.Join("/", name), Err: syscall.ENOENT}
	}
	return fi, nil
}

func clean(name string) string {
	if name = strings.TrimPrefix(path.Join("/", name), "/"); name == "" {
		return "."
	}
	return name
}

func (r *fakeRef) ReadFile(_ context.Context, req gateway.ReadRequest) ([]byte, error) {
	if _, err := r.stat("open", req.Filename); err != nil {
		return nil, err
	}
	data, err := fs.ReadFile(r.files, clean(req.Filename))
	if err != nil || req.Range == nil {
		return data, err
	}
	data = data[min(req.Range.Offset, len(data)):]
	if n := req.Range.Length; n > 0 {
		data = data[:min(n, len(data))]
	}
	return data, nil
}

func (r *fakeRef) StatFile(_ context.Context, req gateway.StatRequest) (*fstypes.Stat, error) {
	fi, err := r.stat("stat", req.Path)
	if err != nil {
		return nil, err
	}
	return statOf(fi), nil
}

func (r *fakeRef) ReadDir(_ context.Context, req gateway.ReadDirRequest) ([]*fstypes.Stat, error) {
	if _, err := r.stat("open", req.Path); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(r.files, clean(req.Path))
	if err != nil {
		return nil, err
	}
	var stats []*fstypes.Stat
	for _, e := range entries {
		if ok, err := path.Match(req.IncludePattern, e.Name()); req.IncludePattern != "" && !ok {
			if err != nil {
				return nil, err
			}
			continue
		}
		fi, err := e.Info()
		if err != nil {
			return nil, err
		}
		stats = append(stats, statOf(fi))
	}
	return stats, nil
}

func statOf(fi fs.FileInfo) *fstypes.Stat {
	return &fstypes.Stat{Path: fi.Name(), Mode: uint32(fi.Mode()), Size: fi.Size(), ModTime: fi.ModTime().UnixNano()}
}
