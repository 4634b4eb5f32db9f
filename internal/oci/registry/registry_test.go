package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// impatient returns a client that doesn't wait long between tries, with logins as HOST: USER:PASSWORD.
func impatient(t testing.TB, logins map[string]string, o Options) *Client {
	if logins != nil {
		o.Docker = configfile.New("")
		for host, login := range logins {
			user, password, _ := strings.Cut(login, ":")
			o.Docker.AuthConfigs[host] = types.AuthConfig{Username: user, Password: password}
		}
	}
	c, err := NewClient(o)
	require.NoError(t, err)
	c.Policy.Backoff, c.Policy.MaxWait = time.Millisecond, 100*time.Millisecond
	return c
}

// silence is what is taken for a stall: long enough for an answer from a machine that is busy.
const silence = 5 * time.Second

// An image of one layer.
type image struct {
	desc  ocispec.Descriptor
	layer ocispec.Descriptor
	data  []byte // of the layer
}

func pushImage(t *testing.T, c *Client, ref string, size int) image {
	repo, err := c.Repository(ref)
	require.NoError(t, err)
	push := func(mediaType string, data []byte, tag string) ocispec.Descriptor {
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		_, err := repo.Push(t.Context(), desc, bytes.NewReader(data), tag)
		require.NoError(t, err)
		return desc
	}
	img := image{data: make([]byte, size)}
	_, _ = rand.Read(img.data)
	img.layer = push(ocispec.MediaTypeImageLayer, img.data, "")
	config := push(ocispec.MediaTypeImageConfig, []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["`+img.layer.Digest.String()+`"]}}`), "")
	m, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{img.layer}})
	require.NoError(t, err)
	img.desc = push(ocispec.MediaTypeImageManifest, m, repo.Tag())
	return img
}

// get resolves an image and reads its layer.
func get(ctx context.Context, c *Client, ref string, layer ocispec.Descriptor) ([]byte, error) {
	_, _, f, err := c.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	r, err := f.Fetch(ctx, layer)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func isLayer(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
}

func every(*http.Request) bool { return true }

func breakOff(after int) testkit.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(testkit.After(w, after, testkit.Abort), r)
	}
}

// What fails for a while is had in the end, and no byte of it twice.
func TestFetchAfterFaults(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	ref := p.Host + "/team/app:v1"
	img := pushImage(t, impatient(t, nil, Options{}), ref, 1<<20)
	for name, f := range map[string]testkit.Fault{
		"none":                nil,
		"500 twice":           testkit.Where(every, 2, testkit.Status(500)),
		"429 then":            testkit.Where(every, 3, testkit.Status(429, "Retry-After", "0")),
		"503 on the manifest": testkit.Where(func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }, 4, testkit.Status(503)),
		"reset":               testkit.Where(every, 3, func(http.ResponseWriter, *http.Request, http.Handler) { testkit.Abort() }),
		"closed in mid-body":  testkit.Where(isLayer, 4, breakOff(200_000)),
		"closed at the start": testkit.Where(isLayer, 4, breakOff(0)),
		"stalls": testkit.Where(isLayer, 1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(testkit.After(w, 300_000, func() { p.Stall(r) }), r)
		}),
		"answers nothing":       testkit.Where(isLayer, 1, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { p.Stall(r) }),
		"short Content-Length":  testkit.Where(isLayer, 2, shorten(400_000)),
		"Content-Length beyond": lengthen,
	} {
		t.Run(name, func(t *testing.T) {
			c := impatient(t, nil, Options{})
			if name == "stalls" || name == "answers nothing" {
				c.Policy.Stall, c.Policy.HeadWait = silence, silence
			}
			before := p.Fetched()
			p.Fail(f)
			defer p.Fail(nil)
			got, err := get(t.Context(), c, ref, img.layer)
			require.NoError(t, err)
			require.Equal(t, img.layer.Digest, digest.FromBytes(got))
			require.Equal(t, int64(len(img.data)), p.Fetched()-before)
		})
	}
}

// shorten ends an answer early, as if that were all.
func shorten(n int) testkit.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		body := rec.Body.Bytes()
		w.Header().Set("Content-Length", fmt.Sprint(min(n, len(body))))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body[:min(n, len(body))])
	}
}

// lengthen promises more of a blob than there is.
func lengthen(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if !isLayer(r) {
		next.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()+1000))
	_, _ = w.Write(rec.Body.Bytes())
}

func TestFetchGivesUp(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	ref := p.Host + "/team/app:v1"
	img := pushImage(t, impatient(t, nil, Options{}), ref, 1<<20)
	for name, tt := range map[string]struct {
		fault testkit.Fault
		want  string
	}{
		"503 for ever":     {testkit.Status(503), "HOST answered 503 Service Unavailable (tried 5 times)"},
		"long Retry-After": {testkit.Status(429, "Retry-After", "3600"), "HOST answered 429 Too Many Requests and asks to wait for 1h0m0s: try again then"},
		"always reset":     {func(http.ResponseWriter, *http.Request, http.Handler) { testkit.Abort() }, "HOST closed the connection before the end (tried 5 times)"},
		"always closed in mid-body": {func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Header.Get("Range") != "" {
				testkit.Abort()
			}
			testkit.Where(isLayer, 9, breakOff(1000))(w, r, next)
		}, "HOST closed the connection before the end (tried 5 times)"},
		"403":        {testkit.Status(403), "HOST refuses team/app without a login (403 Forbidden): run 'docker login HOST'"},
		"404":        {testkit.Status(404), "HOST has no HOST/team/app:v1"},
		"no login":   {testkit.Status(401, "WWW-Authenticate", `Basic realm="x"`), "HOST refuses team/app without a login (401 Unauthorized): run 'docker login HOST'"},
		"huge":       {huge, "HOST sent more than the 16777216 bytes that a manifest or token may have"},
		"other host": {testkit.Status(302, "Location", "http://registry.example/x"), "refusing to talk to registry.example without TLS: name it with --plain-http registry.example if it has none"},
		"loops":      {func(w http.ResponseWriter, r *http.Request, _ http.Handler) { http.Redirect(w, r, r.URL.Path, 307) }, "HOST redirects more than 10 times"},
		"text": {func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"errors":[{"code":"X","message":"no\nsuch thing"}]}`)
		}, "HOST answered 400 Bad Request"},
	} {
		t.Run(name, func(t *testing.T) {
			p.Fail(tt.fault)
			defer p.Fail(nil)
			_, err := get(t.Context(), impatient(t, nil, Options{}), ref, img.layer)
			require.EqualError(t, trim(err), strings.ReplaceAll(tt.want, "HOST", p.Host))
		})
	}
}

// trim takes what errdefs adds from an error.
func trim(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimSuffix(err.Error(), ": not found"))
}

// huge is a manifest without an end, and without what would spare reading it.
func huge(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	if r.Method == http.MethodHead {
		return
	}
	for chunk := make([]byte, 1<<20); r.Context().Err() == nil; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func TestPushAfterFaults(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	upload := func(r *http.Request) bool { return r.Method == http.MethodPut }
	for name, f := range map[string]testkit.Fault{
		"none":      nil,
		"500 twice": testkit.Where(every, 2, testkit.Status(500)),
		"429 then":  testkit.Where(upload, 2, testkit.Status(429)),
		"closed in mid-body": testkit.Where(upload, 3, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
			_, _ = io.CopyN(io.Discard, r.Body, 100_000)
			testkit.Abort()
		}),
		"kept a half": testkit.Where(upload, 2, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			r.Body, r.ContentLength = io.NopCloser(io.LimitReader(r.Body, 100)), 100
			next.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(502)
		}),
		"stalls": testkit.Where(upload, 1, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { p.Stall(r) }),
	} {
		t.Run(name, func(t *testing.T) {
			p.Fail(f)
			defer p.Fail(nil)
			c := impatient(t, nil, Options{})
			if name == "stalls" {
				c.Policy.Stall, c.Policy.HeadWait = silence, silence
			}
			ref := p.Host + "/team/push:" + strings.ReplaceAll(name, " ", "-")
			img := pushImage(t, c, ref, 8<<20)
			got, err := get(t.Context(), c, ref, img.layer)
			require.NoError(t, err)
			require.Equal(t, img.data, got)
		})
	}
}

func TestPushErrors(t *testing.T) {
	c := impatient(t, nil, Options{})
	for ref, want := range map[string]string{
		"a.example/UPPER": `"a.example/UPPER" is not the name of an image`,
		"a.example/b@" + digest.FromString("x").String(): "push to a tag, such as a.example/b:latest",
	} {
		_, err := c.Repository(ref)
		require.ErrorContains(t, err, want)
	}
	_, err := c.Repository("a.example/b", "other.example/c")
	require.EqualError(t, err, "blobs of other.example/c can't be mounted into a.example/b: name a repository of a.example")

	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	p.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(403)
		_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"read-only\n"}]}`)
	})
	repo, err := c.Repository(p.Host + "/a/b")
	require.NoError(t, err)
	data := []byte("x")
	_, err = repo.Push(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: 1}, bytes.NewReader(data), "")
	require.EqualError(t, err, strings.ReplaceAll(`HOST refuses a/b without a login (403 Forbidden: "read-only\n"): run 'docker login HOST'`, "HOST", p.Host))
}

func TestMount(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	c := impatient(t, nil, Options{})
	img := pushImage(t, c, p.Host+"/team/from:v1", 1000)
	for _, refuse := range []bool{false, true} {
		if refuse {
			p.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.URL.Query().Has("mount") {
					w.WriteHeader(401)
					return
				}
				next.ServeHTTP(w, r)
			})
		}
		repo, err := c.Repository(fmt.Sprintf("%s/team/to-%v", p.Host, refuse), p.Host+"/team/none", p.Host+"/team/from")
		require.NoError(t, err)
		require.Equal(t, "latest", repo.Tag())
		sent, err := repo.Push(t.Context(), img.layer, bytes.NewReader(img.data), "")
		require.NoError(t, err)
		require.Equal(t, refuse, sent)
		sent, err = repo.Push(t.Context(), img.layer, bytes.NewReader(img.data), "")
		require.NoError(t, err)
		require.False(t, sent, "it is there")
	}
}

func TestNames(t *testing.T) {
	sum := digest.FromString("x").String()
	for ref, want := range map[string]string{
		"alpine":                      "docker.io/library/alpine:latest",
		"golang:1.26":                 "docker.io/library/golang:1.26",
		"team/app@" + sum:             "docker.io/team/app@" + sum,
		"a.example/app:v1@" + sum:     "a.example/app:v1@" + sum,
		"localhost:5000/app":          "localhost:5000/app:latest",
		"index.docker.io/library/x:1": "docker.io/library/x:1",
	} {
		named, err := parse(ref)
		require.NoError(t, err)
		require.Equal(t, want, named.String())
	}
}

func TestTLS(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), true)
	host := strings.Replace(p.Host, "127.0.0.1", "example.com", 1) // one of the names in httptest's certificate
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Server.Certificate().Raw}), 0o644))
	client := func(ca string) *Client {
		c := impatient(t, nil, Options{CA: ca})
		base := c.http.Transport.(*transport).base.(*http.Transport)
		base.Proxy = nil
		dial := base.DialContext
		base.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, p.Host)
		}
		return c
	}
	img := pushImage(t, client(ca), host+"/team/app:v1", 1000)
	got, err := get(t.Context(), client(ca), host+"/team/app:v1", img.layer)
	require.NoError(t, err)
	require.Equal(t, img.data, got)

	_, err = get(t.Context(), client(""), host+"/team/app:v1", img.layer)
	require.ErrorContains(t, err, host+": tls: failed to verify certificate")
	require.ErrorContains(t, err, "pass that authority's with --ca FILE")
	require.Equal(t, 1, strings.Count(err.Error(), "failed to verify"))
}

func TestCancel(t *testing.T) {
	p := testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	c := impatient(t, nil, Options{})
	ref := p.Host + "/team/app:v1"
	img := pushImage(t, c, ref, 1<<20)
	enough := errors.New("enough")
	for name, f := range map[string]func(cancel func()) testkit.Fault{
		"in an answer": func(cancel func()) testkit.Fault {
			return testkit.Where(isLayer, 9, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				next.ServeHTTP(testkit.After(w, 1000, func() { cancel(); p.Stall(r) }), r)
			})
		},
		"before an answer": func(cancel func()) testkit.Fault {
			return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { cancel(); p.Stall(r) }
		},
		"between tries": func(cancel func()) testkit.Fault {
			return func(w http.ResponseWriter, r *http.Request, _ http.Handler) { cancel(); w.WriteHeader(500) }
		},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		p.Fail(f(func() { cancel(enough) }))
		_, err := get(ctx, c, ref, img.layer)
		require.ErrorIs(t, err, enough, name)
	}
}
