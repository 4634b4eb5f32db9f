package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// fetchedFile has steps that fetch in the ways that package managers do: over HTTP and TLS, through redirects, with a token
// and in parts, and lines that BuildKit fetches for. NONCE makes it a file that no builder has seen.
const fetchedFile = `FROM scratch AS base
ADD busybox fetch /bin/
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin

FROM base AS fetched
RUN mkdir /got && echo NONCE && wget -q -O /got/index http://apk.example/x86_64/APKINDEX.tar.gz
RUN --mount=type=secret,id=token \
    fetch https://npm.example/page?token=$(cat /run/secrets/token) >/got/page.html && \
    fetch https://npm.example/moved >/got/moved && fetch http://apk.example/gone || true
ADD --checksum=sha256:SUM https://files.example/data.bin /got/data
ADD https://files.example/moved.bin /got/data2

FROM go AS build
COPY --from=fetched /got/page.html /src/page/
GO build -o /out/app .

FROM scratch
COPY --from=fetched /got /got
COPY --from=build /out/app /app
`

// fetchGo is a program that fetches a URL, and believes no certificate that it has no reason to.
const fetchGo = `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	resp, err := http.Get(os.Args[1])
	if err == nil && resp.StatusCode != http.StatusOK {
		io.Copy(os.Stderr, resp.Body)
		os.Exit(22)
	}
	if err == nil {
		_, err = io.Copy(os.Stdout, resp.Body)
	}
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
}
`

// buildFetch compiles that program.
func buildFetch(t *testing.T, to string) {
	source := filepath.Join(t.TempDir(), "fetch.go")
	require.NoError(t, os.WriteFile(source, []byte(fetchGo), 0o644))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", to, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// outside is the network of a test, which counts what it is asked.
func outside(t *testing.T, nonce string) *testkit.Web {
	web := testkit.ServeWeb(t)
	apk, npm, files, cdn := http.NewServeMux(), http.NewServeMux(), http.NewServeMux(), http.NewServeMux()
	apk.HandleFunc("/x86_64/APKINDEX.tar.gz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "index "+nonce) })
	npm.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("token") != "SECRET" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "page "+nonce)
	})
	npm.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://cdn.example/f?X-Amz-Signature=SECRET", http.StatusFound)
	})
	cdn.HandleFunc("/f", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "moved "+nonce) })
	files.HandleFunc("/data.bin", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "data "+nonce) })
	files.HandleFunc("/moved.bin", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://cdn.example/g", http.StatusFound)
	})
	cdn.HandleFunc("/g", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "data2 "+nonce) })
	for host, h := range map[string]http.Handler{"apk.example": apk, "npm.example": npm, "files.example": files, "cdn.example": cdn} {
		web.Handle(host, h)
	}
	return web
}

// fetchingWorld is one whose Dockerfile fetches from a web.
func fetchingWorld(t *testing.T) (w *world, web *testkit.Web, nonce string) {
	w = newWorld(t)
	nonce = rand.Text()
	web = outside(t, nonce)
	w.write("Dockerfile", strings.NewReplacer("NONCE", nonce, "SUM", fmt.Sprintf("%x", sha256.Sum256([]byte("data "+nonce)))).Replace(fetchedFile))
	buildFetch(t, filepath.Join(w.context, "fetch"))
	w.addBusybox()
	return w, web, nonce
}

// What a build fetches is recorded where there is a network, and replayed where there is none but lo: to the same image,
// digest and all, with LARDER_OFFLINE=1, and without the token.
func TestRecordAndReplay(t *testing.T) {
	w, web, nonce := fetchingWorld(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("ca.pem"), web.CA, 0o644))
	require.NoError(t, os.WriteFile(at("token"), []byte("SECRET"), 0o600))
	env := w.env
	w.env = append(env, "HTTP_PROXY="+web.ProxyURL, "HTTPS_PROXY="+web.ProxyURL)
	said := w.larder("bundle", "create", "--record", "--state", at("state"), "--secret", "id=token,src="+at("token"), "--ca", at("ca.pem"), "-o", at("bundle"), w.context)
	require.Contains(t, said, "0 tools, 6 recorded answers")
	require.NoDirExists(t, at("state/record"))
	image := func(name string, args ...string) string {
		out, err := w.build(append([]string{"--no-cache", "--provenance", "false", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-o", "type=oci,rewrite-timestamp=true,dest=" + at(name)}, args...)...)
		require.NoError(t, err, "%s", out)
		return digestOf(t, at(name))
	}
	w.env = append(w.env, "SSL_CERT_FILE="+at("ca.pem"))
	online := image("online.tar", "--secret", "id=token,src="+at("token"), "--build-arg", "LARDER_CA=1", "--build-arg", "HTTP_PROXY="+web.ProxyURL, "--build-arg", "HTTPS_PROXY="+web.ProxyURL)
	asked := len(web.Asked())
	require.NoError(t, filepath.WalkDir(at("bundle"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		require.False(t, strings.Contains(string(data), "SECRET"), name)
		return err
	}))
	require.Contains(t, w.larder("bundle", "verify", at("bundle")), "6 recorded answers")
	require.Contains(t, w.larder("bundle", "ls", at("bundle")), "https://npm.example/page")

	w.env, w.ns = env, testkit.Offline(t)
	w.env = append(w.env, "GOPROXY=off")
	build := func(args ...string) (string, error) {
		return w.build(append([]string{"--bundle", at("bundle"), "--secret", "id=token,env=OTHER", "--build-arg", "LARDER_OFFLINE=1"}, args...)...)
	}
	w.env = append(w.env, "OTHER=another-token")
	require.Equal(t, online, image("replayed.tar", "--bundle", at("bundle"), "--secret", "id=token,env=OTHER", "--build-arg", "LARDER_OFFLINE=1"))
	said, err := build("-o", at("out"))
	require.NoError(t, err, "%s", said)
	for name, want := range map[string]string{"index": "index ", "page.html": "page ", "moved": "moved ", "data": "data ", "data2": "data2 "} {
		got, err := os.ReadFile(at("out/got/" + name))
		require.NoError(t, err, name)
		require.Equal(t, want+nonce, string(got), name)
	}
	require.FileExists(t, at("out/app"))
	require.Equal(t, asked, len(web.Asked()))

	// By bake, too.
	require.NoError(t, os.WriteFile(at("docker-bake.json"), []byte(fmt.Sprintf(`{"target": {"default": {"context": %q, "output": ["type=local,dest=%s"], "no-cache-filter": ["fetched"],
		"args": {"LARDER_OFFLINE": "1"}, "secret": ["id=token,env=OTHER"]}}}`, w.context, at("baked"))), 0o644))
	w.larder("bake", "--allow", "fs=*", "-f", at("docker-bake.json"), "--builder", "embedded", "--state", w.state, "--bundle", at("bundle"))
	got, err := os.ReadFile(at("baked/got/moved"))
	require.NoError(t, err)
	require.Equal(t, "moved "+nonce, string(got))

	w.replace("Dockerfile", "http://apk.example/gone || true", "https://npm.example/new?x=1")
	said, err = build()
	require.Error(t, err)
	require.Contains(t, said, "Dockerfile:8: GET https://npm.example/new?x=1: it was not recorded (what was recorded is for linux/")
	require.Contains(t, said, "record it where there is a network: larder bundle create --record -o "+at("bundle")+" "+w.context)
	w.replace("Dockerfile", "https://npm.example/new?x=1", "https://npm.example/new?x=2 || true")
	said, err = build()
	require.NoError(t, err, said)
	require.Contains(t, said, "GET https://npm.example/new?x=2: it was not recorded")
	w.replace("Dockerfile", "https://files.example/moved.bin", "https://files.example/other.bin")
	said, err = build()
	require.Error(t, err)
	require.Contains(t, said, "Dockerfile:12: GET https://files.example/other.bin: it was not recorded")
}

// plainFile fetches one file, and has nothing of Go's.
const plainFile = `FROM scratch
ADD busybox fetch /bin/
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
RUN echo NONCE && fetch https://npm.example/page?token=SECRET >/page.html
`

// Who is killed while a server is silent leaves a bundle that is whole, with what was recorded before, and the next run
// records all. A build that fails isn't recorded.
func TestRecordingIsKilled(t *testing.T) {
	w, web, nonce := fetchingWorld(t)
	w.write("Dockerfile", strings.ReplaceAll(plainFile, "NONCE", nonce))
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.pem"), web.CA, 0o644))
	bundle, state := filepath.Join(dir, "bundle"), filepath.Join(dir, "state")
	w.env = append(w.env, "HTTP_PROXY="+web.ProxyURL, "HTTPS_PROXY="+web.ProxyURL, "GOSUMDB=off")
	create := []string{"bundle", "create", "--record", "--state", state, "--ca", filepath.Join(dir, "ca.pem"), "-o", bundle, w.context}
	require.Contains(t, w.larder(create...), "1 recorded answers")

	came, done := make(chan struct{}, 9), make(chan struct{})
	npm := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, "the beginning")
		rw.(http.Flusher).Flush()
		came <- struct{}{}
		<-done
		panic(http.ErrAbortHandler)
	})
	web.Handle("npm.example", npm)
	cmd := w.command(create...)
	require.NoError(t, cmd.Start())
	<-came
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	close(done)
	require.Contains(t, w.larder("bundle", "verify", bundle), "1 recorded answers", "what was there stays")

	said := w.fails(create...)
	require.Contains(t, said, bundle+" is a bundle without what this run would have recorded")
	require.Contains(t, w.larder("bundle", "verify", bundle), "1 recorded answers")

	web.Handle("npm.example", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "page "+nonce) }))
	require.Contains(t, w.larder(create...), "1 recorded answers")
	w.ns = testkit.Offline(t)
	out, err := w.build("--bundle", bundle, "-o", "type=oci,dest="+filepath.Join(dir, "image.tar"), "--provenance", "mode=max", "--build-arg", "LARDER_OFFLINE=1")
	require.NoError(t, err, out)
	image, err := os.ReadFile(filepath.Join(dir, "image.tar"))
	require.NoError(t, err)
	material := fmt.Sprintf(`"uri": *"https://npm\.example/page",\s*"digest": *{\s*"sha256": *"%x"`, sha256.Sum256([]byte("page "+nonce)))
	require.True(t, regexp.MustCompile(material).Match(image), "the provenance")
	require.True(t, regexp.MustCompile(`"replayed": *2`).Match(image), "the attestation of the offline check")
	out, err = w.build("--bundle", bundle, "-o", filepath.Join(dir, "out"), "--build-arg", "LARDER_OFFLINE=1")
	require.NoError(t, err, out)
	got, err := os.ReadFile(filepath.Join(dir, "out", "page.html"))
	require.NoError(t, err)
	require.Equal(t, "page "+nonce, string(got))
	require.NoDirExists(t, filepath.Join(bundle, ".staging"))
	require.Contains(t, w.larder("bundle", "create", "--from", bundle, "-o", filepath.Join(dir, "next"), w.context), "1 recorded answers")

	// What git fetches isn't HTTP that could be given again.
	file, err := os.ReadFile(filepath.Join(w.context, "Dockerfile"))
	require.NoError(t, err)
	w.write("Dockerfile", string(file)+"ADD https://git.example/team/repo.git#v1 /repo\n")
	const refused = "Dockerfile:6: ADD of a git repository: what git asks its servers can be neither recorded nor replayed: write ADD --unpack with"
	out, err = w.build("--bundle", bundle)
	require.Error(t, err)
	require.Contains(t, out, refused)
	require.Contains(t, w.fails(create...), refused)
	w.write("Dockerfile", string(file))
	require.NotContains(t, w.larder("bundle", "create", "-o", bundle, w.context), "recorded answers", "what isn't named again is gone")
}

// A file that isn't called Dockerfile, and stages that aren't the last, are recorded by their names, and no others are. The
// error of a build that lacks something says how it is recorded.
func TestRecordNamedBuilds(t *testing.T) {
	w, web, nonce := fetchingWorld(t)
	dir := t.TempDir()
	ca, bundle := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "bundle")
	require.NoError(t, os.WriteFile(ca, web.CA, 0o644))
	w.write("Dockerfile", "FROM scratch\nADD https://files.example/not-this /x\n")
	base, _, _ := strings.Cut(fetchedFile, "\n\n")
	w.write("docker/web", base+"\nFROM base AS one\nRUN echo "+nonce+" && fetch http://apk.example/x86_64/APKINDEX.tar.gz >/one\n"+
		"FROM base AS two\nRUN echo "+nonce+" && fetch https://cdn.example/f >/two\nFROM base\nRUN fetch https://cdn.example/g >/g\n")
	env := w.env
	w.env = append(env, "HTTP_PROXY="+web.ProxyURL, "HTTPS_PROXY="+web.ProxyURL, "GOSUMDB=off")
	file := filepath.Join(w.context, "docker/web")
	create := []string{"bundle", "create", "--record", "--state", filepath.Join(dir, "state"), "--ca", ca, "-o", bundle, "-f", file, "--target", "one", "--target", "two", w.context}
	require.Contains(t, w.fails(append(create, "--build-arg", "LARDER_OFFLINE=1")...), "--record asks servers, and LARDER_OFFLINE=1 forbids that")
	said := w.larder(create...)
	require.Contains(t, said, "2 recorded answers")
	w.env, w.ns = env, testkit.Offline(t)
	for target, want := range map[string]string{"one": "index ", "two": "moved "} {
		out, err := w.build("--bundle", bundle, "-f", file, "--target", target, "-o", filepath.Join(dir, target))
		require.NoError(t, err, out)
		got, err := os.ReadFile(filepath.Join(dir, target, target))
		require.NoError(t, err)
		require.Equal(t, want+nonce, string(got))
	}
	out, err := w.build("--bundle", bundle, "-f", file, "--no-cache", "-o", filepath.Join(dir, "last"))
	require.Error(t, err)
	require.Contains(t, out, "GET https://cdn.example/g: it was not recorded")
	require.Contains(t, out, "larder bundle create --record -o "+bundle+" -f "+file+" "+w.context)
}

// The images of a file that isn't called Dockerfile are in the bundle.
func TestImagesOfNamedFile(t *testing.T) {
	w := newWorld(t)
	w.write("docker/web", "FROM registry.example/base:1\nCOPY --from=registry.example/other /x /x\nRUN --mount=from=registry.example/tool,target=/t true\n")
	w.env, w.ns = append(w.env, "GOSUMDB=off"), testkit.Offline(t)
	create := []string{"bundle", "create", "--dry-run", "-o", filepath.Join(t.TempDir(), "bundle"), "-f", filepath.Join(w.context, "docker/web"), w.context}
	require.Regexp(t, `(?s)registry.example/base:1 .*registry.example/other:latest .*registry.example/tool:latest `, w.larder(create...))
	require.NotContains(t, w.larder(append(create, "--no-images")...), "registry.example")
}

// What --record can't be used with.
func TestRecordRefuses(t *testing.T) {
	w := &world{t: t}
	create := func(args ...string) string {
		return w.fails(append([]string{"bundle", "create", "-o", filepath.Join(t.TempDir(), "bundle")}, args...)...)
	}
	require.Contains(t, create("--record", "--since", "old", "."), "--record needs a whole bundle to build with")
	require.Contains(t, create("--target", "x", "."), "--target says what --record and --compile build, and neither is given")
	require.Contains(t, create("--record", "-f", "x", "a", "b"), "--file is of the build of one folder, and 2 are named")
	require.Contains(t, create("-f", "-", "."), "--file -: name a file")
	none := filepath.Join(t.TempDir(), "none")
	require.Contains(t, create("-f", none, t.TempDir()), none)
}
