package frontend

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/singleflight"
)

// A readCache remembers the results that the Dockerfile and the ignore file were read from, and what was read.
// BuildKit's frontend runs after Larder's plan and asks for the same again, and each call of the builder takes a while.
type readCache struct {
	once  singleflight.Group
	known sync.Map // of *gateway.Result, by key
}

// ahead returns a client that fills this client's cache while this one reads.
func (c *client) ahead() *client {
	ahead := wrap(c.Client)
	ahead.reads = c.reads
	return ahead
}

// readIgnoreFile reads the ignore file of a build context into the cache. That can be done while the Dockerfile is
// read; BuildKit's frontend does it later only because the Dockerfile may have an ignore file of its own. It drops an
// error, because the later read returns it.
func (c *client) readIgnoreFile(ctx context.Context) {
	key := c.opts["contextkey"]
	if key == "" {
		key = dockerui.DefaultLocalNameContext
	}
	if c.opts[key] != "" {
		return // a git repository or an archive, which has it elsewhere
	}
	if ui, err := dockerui.NewClient(c); err == nil {
		_, _ = ui.MainContext(ctx)
	}
}

// readKey returns the key of a definition that is one folder of the client's. The key holds what is sent of the folder.
// Other definitions have no key, since they aren't asked for twice.
func readKey(req gateway.SolveRequest) (key string, ok bool) {
	var op pb.Op
	if req.Frontend != "" || req.Evaluate || len(req.CacheImports) > 0 || len(req.Definition.GetDef()) != 2 || op.UnmarshalVT(req.Definition.Def[0]) != nil {
		return "", false // the second says which is the result
	}
	source := op.GetSource()
	if !strings.HasPrefix(source.GetIdentifier(), "local://") {
		return "", false
	}
	delete(source.Attrs, pb.AttrLocalUniqueID) // another whenever it is asked for
	return fmt.Sprint(source.Identifier, " ", source.Attrs), true
}

// get returns the known result, or else solves. Callers that ask at the same time share one solve.
func (r *readCache) get(ctx context.Context, key string, solve func(context.Context) (*gateway.Result, error)) (*gateway.Result, error) {
	v, err, _ := r.once.Do(key, func() (any, error) {
		if res, ok := r.known.Load(key); ok {
			return res, nil
		}
		res, err := solve(ctx)
		if err != nil {
			return nil, err
		}
		ref, err := res.SingleRef()
		if err != nil || ref == nil {
			return res, err
		}
		remembering := gateway.NewResult()
		remembering.SetRef(&readRef{Reference: ref})
		r.known.Store(key, remembering)
		return remembering, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*gateway.Result), nil
}

// readRef is a reference that asks the builder for each file once.
type readRef struct {
	gateway.Reference
	files, stats sync.Map // of func, by what was asked
}

// ReadFile implements gateway.Reference.
func (r *readRef) ReadFile(ctx context.Context, req gateway.ReadRequest) ([]byte, error) {
	key := req.Filename
	if req.Range != nil {
		key = fmt.Sprint(key, " ", *req.Range)
	}
	read, _ := r.files.LoadOrStore(key, sync.OnceValues(func() ([]byte, error) { return r.Reference.ReadFile(ctx, req) }))
	data, err := read.(func() ([]byte, error))()
	return bytes.Clone(data), err
}

// StatFile implements gateway.Reference.
func (r *readRef) StatFile(ctx context.Context, req gateway.StatRequest) (*fstypes.Stat, error) {
	stat, _ := r.stats.LoadOrStore(req.Path, sync.OnceValues(func() (*fstypes.Stat, error) { return r.Reference.StatFile(ctx, req) }))
	return stat.(func() (*fstypes.Stat, error))()
}

// madeRef is a reference to files that Larder made itself. It needs no builder.
type madeRef struct {
	gateway.Reference // nil: nothing but the files is asked of it
	files             map[string][]byte
}

// ReadFile implements gateway.Reference.
func (r madeRef) ReadFile(_ context.Context, req gateway.ReadRequest) ([]byte, error) {
	data, ok := r.files[path.Join("/", req.Filename)]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: req.Filename, Err: fs.ErrNotExist}
	}
	if req.Range != nil {
		data = data[min(req.Range.Offset, len(data)):]
		if n := req.Range.Length; n > 0 {
			data = data[:min(n, len(data))]
		}
	}
	return bytes.Clone(data), nil
}

// StatFile implements gateway.Reference.
func (r madeRef) StatFile(_ context.Context, req gateway.StatRequest) (*fstypes.Stat, error) {
	data, ok := r.files[path.Join("/", req.Path)]
	if !ok {
		return nil, &fs.PathError{Op: "stat", Path: req.Path, Err: fs.ErrNotExist}
	}
	return &fstypes.Stat{Path: path.Base(req.Path), Mode: 0o644, Size: int64(len(data)), ModTime: time.Unix(0, 0).UnixNano()}, nil
}

// makes reports whether a definition only writes files, and one of them has this data.
func makes(def *pb.Definition, data []byte) bool {
	found := false
	for i, dt := range def.GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return false
		}
		if i == len(def.Def)-1 {
			return found && op.Op == nil
		}
		for _, action := range op.GetFile().GetActions() {
			if action.GetCopy() != nil || action.GetRm() != nil || action.GetSymlink() != nil {
				return false
			}
			found = found || bytes.Equal(action.GetMkfile().GetData(), data)
		}
		if op.GetFile() == nil {
			return false
		}
	}
	return false
}
