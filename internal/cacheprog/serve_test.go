package cacheprog

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A client talks to a Server as the go command does.
type client struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *json.Decoder
	done chan error
	last int64
}

func start(t *testing.T, ctx context.Context, s *Server) *client {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := &client{t: t, in: inW, out: json.NewDecoder(outR), done: make(chan error, 1)}
	go func() {
		err := s.Serve(ctx, inR, outW)
		outW.Close()
		inR.Close()
		c.done <- err
	}()
	require.Equal(t, response{KnownCommands: []string{"get", "put", "close"}}, c.receive())
	return c
}

func (c *client) receive() (res response) {
	c.t.Helper()
	require.NoError(c.t, c.out.Decode(&res))
	return res
}

func (c *client) send(text string) {
	c.t.Helper()
	_, err := io.WriteString(c.in, text)
	require.NoError(c.t, err)
}

// do sends one request and returns the answer.
func (c *client) do(req request, body string) response {
	c.t.Helper()
	c.last++
	req.ID = c.last
	c.send(message(req, body))
	res := c.receive()
	require.Equal(c.t, c.last, res.ID)
	res.ID = 0
	return res
}

func (c *client) get(action string) response {
	c.t.Helper()
	return c.do(request{Command: "get", ActionID: id(action)}, "")
}

func (c *client) put(action, text string) response {
	c.t.Helper()
	return c.do(request{Command: "put", ActionID: id(action), OutputID: id(text), BodySize: int64(len(text))}, text)
}

func (c *client) close() {
	c.t.Helper()
	require.Equal(c.t, response{}, c.do(request{Command: "close"}, ""))
	require.NoError(c.t, <-c.done)
}

// message is what the go command sends, with its empty line.
func message(req request, body string) string {
	line, err := json.Marshal(req)
	if err != nil {
		panic(err)
	}
	text := string(line) + "\n\n"
	if body != "" {
		text += `"` + base64.StdEncoding.EncodeToString([]byte(body)) + "\"\n"
	}
	return text
}

// hit checks an answer and the file that it names, and returns the file's name.
func hit(t *testing.T, res response, in Dir, text string) {
	t.Helper()
	require.Empty(t, res.Err)
	require.False(t, res.Miss)
	require.Equal(t, in.file(id(text), "d"), res.DiskPath)
	require.Equal(t, id(text), res.OutputID)
	require.EqualValues(t, len(text), res.Size)
	require.NotNil(t, res.Time)
	data, err := os.ReadFile(res.DiskPath)
	require.NoError(t, err)
	require.Equal(t, text, string(data))
}

func TestServe(t *testing.T) {
	root := t.TempDir()
	dir := func(name string) Dir { return Dir(filepath.Join(root, name)) }
	s := &Server{Lower: []Dir{dir("missing"), dir("lower"), dir("second")}, Upper: dir("upper")}
	store(t, dir("lower"), "both", "the lower's")
	store(t, dir("lower"), "short", "short text")
	store(t, dir("second"), "second", "the second's")
	require.NoError(t, os.WriteFile(dir("lower").file(id("short text"), "d"), []byte("short"), 0o600))
	store(t, dir("upper"), "both", "the upper's")
	store(t, dir("upper"), "upper", "the upper's")
	store(t, dir("upper"), "wrong", "wrong")
	require.NoError(t, os.WriteFile(dir("upper").file(id("wrong"), "d"), []byte("gnorw"), 0o600))
	before := tree(t, dir("lower"), true)

	c := start(t, t.Context(), s)
	require.Equal(t, response{Miss: true}, c.get("none"))
	require.Equal(t, response{Miss: true}, c.get("short"))
	hit(t, c.get("both"), dir("lower"), "the lower's")
	hit(t, c.get("second"), dir("second"), "the second's")
	hit(t, c.get("upper"), dir("upper"), "the upper's")

	require.Equal(t, response{Miss: true}, c.get("wrong"))
	require.Equal(t, response{DiskPath: dir("upper").file(id("wrong"), "d")}, c.put("wrong", "wrong"))
	hit(t, c.get("wrong"), dir("upper"), "wrong")

	for _, text := range []string{"new", "", strings.Repeat("0123456789\n", 30_000)} {
		require.Equal(t, response{DiskPath: dir("upper").file(id(text), "d")}, c.put("put", text))
		hit(t, c.get("put"), dir("upper"), text)
	}
	c.close()
	require.Equal(t, before, tree(t, dir("lower"), true))
	require.FileExists(t, filepath.Join(root, "upper", "trim.txt"))
	require.NoDirExists(t, filepath.Join(root, "missing"))
	require.Empty(t, leftover(t, dir("upper")))
}

func TestServeManyAtOnce(t *testing.T) {
	c := start(t, t.Context(), &Server{Upper: Dir(t.TempDir()), Keep: Dir(t.TempDir())})
	const n = 300
	go func() {
		for i := range int64(n) {
			text := strings.Repeat("x", int(i)*100)
			put := request{ID: i + 1, Command: "put", ActionID: id(fmt.Sprint(i)), OutputID: id(text), BodySize: i * 100}
			io.WriteString(c.in, message(put, text))
			io.WriteString(c.in, message(request{ID: n + i + 1, Command: "get", ActionID: id("none")}, ""))
		}
	}()
	seen := map[int64]bool{}
	for range 2 * n {
		res := c.receive()
		require.Empty(t, res.Err)
		seen[res.ID] = true
	}
	require.Len(t, seen, 2*n)
	c.last = 2 * n
	c.close()
}

func TestServeTouchesUpper(t *testing.T) {
	upper := Dir(t.TempDir())
	for action, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": 30 * time.Minute} {
		path := store(t, upper, action, action)
		stamp := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(path, stamp, stamp))
		require.NoError(t, os.Chtimes(upper.file(id(action), "a"), stamp, stamp))
	}
	c := start(t, t.Context(), &Server{Upper: upper})
	hit(t, c.get("old"), upper, "old")
	hit(t, c.get("new"), upper, "new")
	c.close()
	for path, touched := range map[string]bool{
		upper.file(id("old"), "a"): true, upper.file(id("old"), "d"): true,
		upper.file(id("new"), "a"): false, upper.file(id("new"), "d"): false,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, touched, time.Since(info.ModTime()) < 20*time.Minute, path)
	}
}

func TestServeKeeps(t *testing.T) {
	var trees []map[string]string
	for range 2 {
		lower, upper, keep := Dir(t.TempDir()), Dir(t.TempDir()), Dir(t.TempDir())
		store(t, lower, "lower", "the lower's")
		store(t, upper, "upper", "the upper's")
		store(t, upper, "unused", "unused")
		c := start(t, t.Context(), &Server{Lower: []Dir{lower}, Upper: upper, Keep: keep})
		hit(t, c.get("lower"), lower, "the lower's")
		hit(t, c.get("lower"), lower, "the lower's")
		hit(t, c.get("upper"), upper, "the upper's")
		require.Empty(t, c.put("new", "new").Err)
		c.close()
		for action, text := range map[string]string{"upper": "the upper's", "new": "new"} {
			e, ok := keep.Get(id(action), true)
			require.True(t, ok)
			require.Equal(t, id(text), e.OutputID)
		}
		require.Len(t, names(t, keep, "-a"), 2, "a lower folder keeps its own")
		require.Len(t, names(t, keep, "-d"), 2)
		trees = append(trees, tree(t, keep, true))
	}
	require.Equal(t, trees[0], trees[1])
	for name, text := range trees[0] {
		require.Contains(t, text, epoch.UTC().String(), name)
	}
}

func TestServeTellsThatItCantKeep(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	c := start(t, t.Context(), &Server{Upper: Dir(t.TempDir()), Keep: Dir(file)})
	require.Empty(t, c.put("a", "text").Err)
	require.Contains(t, c.do(request{Command: "close"}, "").Err, "keeping a build cache entry: ")
	require.ErrorContains(t, <-c.done, "keeping a build cache entry: ")
}

func TestServeWithoutUpper(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, upper := range map[string]Dir{"none": "", "not a folder": Dir(file)} {
		t.Run(name, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			keep := Dir(t.TempDir())
			c := start(t, t.Context(), &Server{Upper: upper, Keep: keep})
			require.Equal(t, response{Miss: true}, c.get("a"))
			path := c.put("a", "text").DiskPath
			require.Equal(t, tmp, filepath.Dir(filepath.Dir(filepath.Dir(path))))
			hit(t, c.get("a"), Dir(filepath.Dir(filepath.Dir(path))), "text")
			c.close()
			_, ok := keep.Get(id("a"), true)
			require.True(t, ok)
			require.Equal(t, map[string]string{".": tree(t, Dir(tmp), false)["."]}, tree(t, Dir(tmp), false))
		})
	}
}

func TestServeAnswersErrors(t *testing.T) {
	put := request{Command: "put", ActionID: id("a"), OutputID: id("text"), BodySize: 4}
	edit := func(change func(*request)) request {
		req := put
		change(&req)
		return req
	}
	upper := Dir(t.TempDir())
	c := start(t, t.Context(), &Server{Upper: upper})
	for name, tt := range map[string]struct {
		req  request
		body string
		want string
	}{
		"unknown":     {request{Command: "get2", ActionID: id("a")}, "", `unknown command "get2"`},
		"with body":   {request{Command: "put2", BodySize: 4}, "text", `unknown command "put2"`},
		"no command":  {request{}, "", `unknown command ""`},
		"get action":  {request{Command: "get", ActionID: []byte("../../x")}, "", "the action ID has 7 bytes"},
		"put action":  {edit(func(r *request) { r.ActionID = nil }), "text", "have 0 and 32 bytes"},
		"put output":  {edit(func(r *request) { r.OutputID = nil }), "text", "have 32 and 0 bytes"},
		"sum":         {edit(func(r *request) { r.OutputID = id("TEXT") }), "text", "the data do not match their entry"},
		"long":        {edit(func(r *request) { r.BodySize = 3 }), "text", "more than 3 bytes"},
		"short":       {edit(func(r *request) { r.BodySize = 1 << 62 }), "text", "4 of 4611686018427387904 bytes"},
		"negative":    {edit(func(r *request) { r.BodySize = -1 }), "", "is negative"},
		"not the sum": {edit(func(r *request) { r.BodySize = 0 }), "", "the data do not match their entry"},
	} {
		require.Contains(t, c.do(tt.req, tt.body).Err, tt.want, name)
	}
	c.send(`{"ID":77,"Command":"put","ActionID":"` + base64.StdEncoding.EncodeToString(id("a")) + `","OutputID":"` +
		base64.StdEncoding.EncodeToString(id("text")) + `","BodySize":4}` + "\n" + `"dGV\u0034dA=="` + "\n")
	require.Contains(t, c.receive().Err, "illegal base64 data")
	require.Empty(t, c.put("a", "text").Err, "the service goes on")
	c.close()
	require.Len(t, names(t, upper, "-d"), 1)
	require.Len(t, names(t, upper, "-a"), 1)
}

func TestServeEnds(t *testing.T) {
	whole := message(request{ID: 1, Command: "put", ActionID: id("a"), OutputID: id("text"), BodySize: 4}, "text")
	first := strings.SplitAfter(whole, "\n")[0]
	for name, tt := range map[string]struct{ input, want string }{
		"no input":      {"", ""},
		"empty lines":   {"\n\n \n", ""},
		"no close":      {whole, ""},
		"after close":   {`{"ID":1,"Command":"close"}` + "\nrubbish", ""},
		"half a line":   {`{"ID":1,"Comm`, "malformed request: unexpected EOF"},
		"half a body":   {whole[:len(whole)-5], "reading a body: unexpected EOF"},
		"no body":       {first, "reading a body: unexpected EOF"},
		"other body":    {first + `{"ID":2}`, "malformed body: it starts with '{': expected a string"},
		"not JSON":      {"get\n", "malformed request: invalid character"},
		"not an object": {"[1]\n", "malformed request: json: cannot unmarshal"},
		"long line":     {strings.Repeat("x", 100_000), "malformed request: its line is longer than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			upper := Dir(t.TempDir())
			err := (&Server{Upper: upper}).Serve(t.Context(), strings.NewReader(tt.input), io.Discard)
			if tt.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.want)
			}
			require.Empty(t, leftover(t, upper))
			_, ok := upper.Get(id("a"), true)
			require.Equal(t, name == "no close", ok)
		})
	}
}

func TestServeStopsWhenCancelled(t *testing.T) {
	put := message(request{ID: 1, Command: "put", ActionID: id("a"), OutputID: id("text"), BodySize: 4}, "text")
	for name, input := range map[string]string{"between requests": "", "in a body": put[:len(put)-6]} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			upper := Dir(t.TempDir())
			c := start(t, ctx, &Server{Upper: upper})
			c.send(input)
			begun := func() bool { return (len(leftover(t, upper)) > 0) == (input != "") }
			require.Eventually(t, begun, testkit.Patience, time.Millisecond)
			cancel()
			require.ErrorIs(t, <-c.done, context.Canceled)
			// The reader goes on until its input is closed, which start does.
			require.Eventually(t, func() bool { return len(leftover(t, upper)) == 0 }, testkit.Patience, time.Millisecond)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, context.Canceled, (&Server{}).Serve(ctx, strings.NewReader(put), io.Discard))
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestServeStopsWhenNobodyListens(t *testing.T) {
	broken := errors.New("broken")
	r, w := io.Pipe()
	defer w.Close()
	require.ErrorIs(t, (&Server{}).Serve(t.Context(), r, brokenWriter{broken}), broken)

	out := &lateWriter{err: broken}
	go io.WriteString(w, message(request{ID: 1, Command: "get", ActionID: id("a")}, ""))
	require.ErrorIs(t, (&Server{}).Serve(t.Context(), r, out), broken)
}

// A lateWriter takes the first answer only.
type lateWriter struct {
	bytes.Buffer
	err error
}

func (w *lateWriter) Write(p []byte) (int, error) {
	if w.Len() > 0 {
		return 0, w.err
	}
	return w.Buffer.Write(p)
}

func FuzzServe(f *testing.F) {
	put := message(request{ID: 1, Command: "put", ActionID: id("a"), OutputID: id("text"), BodySize: 4}, "text")
	get := message(request{ID: 2, Command: "get", ActionID: id("a")}, "")
	for _, seed := range []string{
		"", put, get, put + get + message(request{ID: 3, Command: "close"}, ""), put[:len(put)-4], get[:10],
		message(request{Command: "put", ActionID: []byte("../../x"), OutputID: []byte("../y"), BodySize: 1}, "text"),
		`{"ID":1,"Command":"put","BodySize":9223372036854775807}` + "\n\"" + strings.Repeat("QUJD", 100) + "\"\n" + get,
		`{"ID":1,"Command":"put","BodySize":-1}` + "\n", `null` + "\n" + `{"ID":1e99}` + "\n", "\"\n\"", "{}{}\n", "\x00\n",
	} {
		f.Add([]byte(seed))
	}
	tmp := f.TempDir()
	f.Setenv("TMPDIR", tmp)
	f.Fuzz(func(t *testing.T, input []byte) {
		root, err := os.MkdirTemp(tmp, "fuzz-")
		require.NoError(t, err)
		defer os.RemoveAll(root)
		dir := func(name string) Dir { return Dir(filepath.Join(root, name)) }
		store(t, dir("lower"), "a", "the lower's")
		before := tree(t, dir("lower"), true)
		s := &Server{Lower: []Dir{dir("lower")}, Upper: dir("upper"), Keep: dir("keep")}
		s.Serve(t.Context(), bytes.NewReader(input), io.Discard)
		require.Equal(t, before, tree(t, dir("lower"), true))
		for name := range tree(t, Dir(root), false) {
			require.Regexp(t, `^(\.|lower.*|upper/trim.txt|upper/claims|(upper|keep)(/[0-9a-f]{2}(/[0-9a-f]{64}-[ad])?)?)$`, name)
		}
	})
}
