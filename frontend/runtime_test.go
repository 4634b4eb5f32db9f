//go:build slow

package frontend_test

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Base images of docs/guides/runtime-images.md that can't be pulled here.
const (
	distroless = "gcr.io/distroless/static-debian12:nonroot"
	debian     = "debian:trixie-slim"
)

// runtimeImages has, by its heading in docs/guides/runtime-images.md, what the image of a Dockerfile is to do.
var runtimeImages = map[string]func(*example, ...string){
	"scratch":    prints("user 65532, group 65532, nobody known\n"),
	"static":     prints("user 65532, group 65532, nonroot of /home/nonroot\ntime zone Asia/Tokyo\n", "-zone", "Asia/Tokyo"),
	"alpine":     prints("user 65534, group 65534, nobody known\ntime zone Asia/Tokyo\n", "-zone", "Asia/Tokyo"),
	"distroless": prints("user 65532, group 65532, nonroot of /home/nonroot\ntime zone Asia/Tokyo\n", "-zone", "Asia/Tokyo"),
	"Debian":     prints("user 65532, group 65532, nobody known\ntime zone Asia/Tokyo\n", "-zone", "Asia/Tokyo"),

	"Users and groups":        prints("user 10001, group 10001, app of /home/app\n"),
	"Certificate authorities": prints("user 65532, group 65532, nonroot of /home/nonroot\ntrusts /etc/ssl/certs/corp.crt\n"),
	"Time zones":              (*example).oneZone,
	"Health checks":           (*example).health,
	"File capabilities":       (*example).capability,
	"Static files":            prints("user 65532, group 65532, nonroot of /home/nonroot\nstatic file index.html\n"),
}

// buildRuntime builds what docs/guides/runtime-images.md shows, of examples/runtime.
func buildRuntime(g *gateway) {
	root := testkit.Root(g.t)
	testkit.PushAlpine(g.t, g.addr, g.registry+"/"+alpine)
	// What is in distroless' image is in Larder's own, too.
	base := g.t.TempDir()
	require.NoError(g.t, os.WriteFile(filepath.Join(base, "Dockerfile"), []byte("# syntax="+g.larder+"\nFROM static\n"), 0o644))
	g.buildctl(base, "--opt", "build-arg:GOPROXY="+g.proxy, "--output", "type=image,push=true,name="+g.registry+"/distroless:1")
	opts := []string{"--opt", "context:" + distroless + "=docker-image://" + g.registry + "/distroless:1",
		"--opt", "context:" + debian + "=docker-image://" + g.registry + "/" + alpine}

	built := 0
	for _, section := range regexp.MustCompile(`(?m)^##+ `).Split(read(g.t, root, "docs", "guides", "runtime-images.md"), -1) {
		heading, text, _ := strings.Cut(section, "\n")
		for i, block := range testkit.Blocks(text, "dockerfile") {
			built++
			g.t.Run(fmt.Sprintf("runtime.md %s %d", heading, i+1), func(t *testing.T) {
				e := &example{*g}
				e.t, e.context = t, t.TempDir()
				require.NoError(t, os.CopyFS(e.context, os.DirFS(filepath.Join(root, "examples", "runtime"))))
				e.add("Dockerfile", block)
				require.Contains(t, runtimeImages, heading)
				runtimeImages[heading](e, opts...)
			})
		}
	}
	require.Equal(g.t, len(runtimeImages), built)
}

// prints returns a check that an image prints a text.
func prints(want string, args ...string) func(*example, ...string) {
	return func(e *example, opts ...string) { require.Equal(e.t, want, e.run(e.image(opts...), args...)) }
}

func (e *example) oneZone(opts ...string) {
	require.Contains(e.t, e.run(e.image(opts...)), "time zone Europe/Berlin\n")
	root, _ := e.export(e.opts(opts...)...)
	zones, err := filepath.Glob(filepath.Join(root, "usr/share/zoneinfo/*/*"))
	require.NoError(e.t, err)
	require.Len(e.t, zones, 1)
}

func (e *example) health(opts ...string) {
	require.Contains(e.t, e.config(opts...), `"Healthcheck":{"Test":["CMD","/usr/local/bin/health"],"Interval":10000000000,"Timeout":3000000000}`)
	root, _ := e.export(e.opts(opts...)...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e.t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(e.t, err)
	check := func() error {
		cmd := exec.CommandContext(e.t.Context(), filepath.Join(root, "usr/local/bin/health"))
		cmd.Env = []string{"PORT=" + port}
		return cmd.Run()
	}
	require.NoError(e.t, check())
	require.NoError(e.t, l.Close())
	require.Error(e.t, check())
}

func (e *example) capability(opts ...string) {
	image := e.registry + "/capability:1"
	e.push(image, opts...)
	root := filepath.Join(e.t.TempDir(), "root")
	require.NoError(e.t, os.Mkdir(root, 0o755))
	archive := root + ".tar"
	testkit.Run(e.t, testkit.Tool(e.t, "crane"), "export", image, archive)
	testkit.Run(e.t, "tar", "-C", root, "--xattrs", "--xattrs-include=*", "-xf", archive, "usr/local/bin/probe")
	value := make([]byte, 64)
	n, err := unix.Getxattr(filepath.Join(root, "usr/local/bin/probe"), "security.capability", value)
	require.NoError(e.t, err)
	require.Equal(e.t, "0000000200040000000000000000000000000000", hex.EncodeToString(value[:n]))
}

// push builds an image and pushes it.
func (e *example) push(image string, opts ...string) {
	e.buildctl(e.context, e.opts(append([]string{"--opt", "build-arg:GOPROXY=" + e.proxy, "--output", "type=image,push=true,name=" + image}, opts...)...)...)
}

// config returns an image's configuration.
func (e *example) config(opts ...string) string {
	image := e.registry + "/config:1"
	e.push(image, opts...)
	return testkit.Run(e.t, testkit.Tool(e.t, "crane"), "config", image)
}

// runtime is the example of examples/runtime.
func (e *example) runtime() {
	require.Equal(e.t, "user 10001, group 10001, probe of /home/probe\ntime zone Europe/Berlin\ntrusts /etc/ssl/certs/corp.crt\nstatic file index.html\n",
		e.run(e.image(), "-zone", "Europe/Berlin", "-trusts", "/etc/ssl/certs/corp.crt"))

	// Labels and annotations of the command line join those of the file.
	image := e.registry + "/labels:1"
	e.buildx(append([]string{"build", "--build-arg", "GOPROXY=" + e.proxy, "--label", "org.opencontainers.image.vendor=Acme",
		"--annotation", "org.opencontainers.image.licenses=MIT", "--push", "-t", image},
		append(e.contexts("--build-context="), e.context)...)...)
	crane := testkit.Tool(e.t, "crane")
	require.Contains(e.t, testkit.Run(e.t, crane, "config", image), `"Labels":{"org.opencontainers.image.title":"probe","org.opencontainers.image.vendor":"Acme"}`)
	require.Regexp(e.t, `"annotations":\s*{\s*"org.opencontainers.image.licenses":\s*"MIT"\s*}`, testkit.Run(e.t, crane, "manifest", image))
}
