package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// caFile fetches by what a Debian base has, each in a stage of its own.
const caFile = `FROM scratch AS base
COPY root /
ENV PATH=/usr/bin:/usr/sbin
RUN --network=none mkdir -p /tmp /root /etc/ssl/certs /usr/local/share/ca-certificates /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/dpkg/triggers /var/lib/apt/lists/partial /var/cache/apt/archives/partial /var/log/apt /etc/apt/apt.conf.d && \
    chmod 1777 /tmp && touch /var/lib/dpkg/status && echo 'root:x:0:0:root:/root:/bin/sh' >/etc/passwd && \
    echo '_apt:x:42:65534::/nonexistent:/usr/sbin/nologin' >>/etc/passwd && echo 'root:x:0:' >/etc/group && echo 'nogroup:x:65534:' >>/etc/group && \
    echo 'deb [trusted=yes] https://apt.example/ ./' >/etc/apt/sources.list && \
    find /usr/share/ca-certificates -name '*.crt' -printf '%P\n' >/etc/ca-certificates.conf && update-ca-certificates

FROM base AS curl
RUN : NONCE && curl -fsS https://files.example/x
FROM base AS git
RUN : NONCE && git clone https://git.example/repo /got
FROM base AS wget
RUN : NONCE && wget -nv -O /got https://files.example/x
FROM base AS go
RUN : NONCE && test "$(fetch https://files.example/x)" = "the file"
FROM base AS other-user
USER 1000
RUN : NONCE && curl -fsS https://files.example/x
FROM base AS apt
RUN : NONCE && apt-get update && apt-get install -y own-certificates && dpkg -s own-certificates && curl -fsS https://files.example/x
FROM base AS update
RUN : NONCE && update-ca-certificates --fresh && curl -fsS https://files.example/x

FROM base AS own
ENV CURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
RUN : NONCE && curl -fsS https://files.example/x
FROM base AS listed
RUN --mount=type=secret,id=own,target=/usr/local/share/ca-certificates/own.crt --network=none update-ca-certificates
RUN : NONCE && curl -fsS https://files.example/x
FROM base AS by-hand
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt : NONCE && curl -fsS https://files.example/x
FROM base AS alone
RUN --network=none : NONCE && test -z "$CURL_CA_BUNDLE$APT_CONFIG$SSL_CERT_FILE" && test ! -e /dev/larder-secret-ca.pem && test ! -e /dev/larder-ca

FROM base AS traces
RUN : NONCE && touch /made && mkdir -p /tmp/x /run/x && update-ca-certificates --fresh && : FETCH
`

// control is of a package that updates the list of authorities when it is installed, as that which brings the list does.
const control = `Package: own-certificates
Version: 1
Architecture: all
Maintainer: Test <test@example.com>
Description: updates the list
`

// debianRoot makes a folder with what a Debian base has, with curl, git and wget.
func debianRoot(t *testing.T, dir string) {
	for _, name := range []string{"curl", "git", "wget", "dpkg-deb"} {
		testkit.Installed(t, name)
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	testkit.CopyPackages(t, dir, "bash", "coreutils", "sed", "grep", "findutils", "debianutils", "mawk", "diffutils", "libc-bin", "tar", "gzip", "xz-utils", "apt", "dpkg", "perl-base", "openssl", "ca-certificates", "curl", "git", "wget")
	for link, to := range map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "usr/bin/sh": "bash", "usr/bin/awk": "mawk"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); !errors.Is(err, fs.ErrExist) {
			require.NoError(t, err)
		}
	}
	for _, name := range []string{"/usr/share/ca-certificates", "/usr/share/dpkg"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(name)))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "etc/apt")))
}

// aptRepository serves a repository with one package, without a signature.
func aptRepository(t *testing.T) http.Handler {
	dir := t.TempDir()
	made := filepath.Join(dir, "made")
	require.NoError(t, os.MkdirAll(filepath.Join(made, "DEBIAN"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(made, "DEBIAN/control"), []byte(control), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(made, "DEBIAN/postinst"), []byte("#!/bin/sh\nexec update-ca-certificates --fresh\n"), 0o755))
	repo := filepath.Join(dir, "repo")
	require.NoError(t, os.Mkdir(repo, 0o755))
	testkit.Run(t, "dpkg-deb", "--build", "--root-owner-group", made, filepath.Join(repo, "own.deb"))
	data, err := os.ReadFile(filepath.Join(repo, "own.deb"))
	require.NoError(t, err)
	list := fmt.Sprintf("%sFilename: ./own.deb\nSize: %d\nSHA256: %x\n", control, len(data), sha256.Sum256(data))
	require.NoError(t, os.WriteFile(filepath.Join(repo, "Packages"), []byte(list), 0o644))
	return http.FileServer(http.Dir(repo))
}

// With LARDER_CA=1, programs of RUN lines trust the authority that the build has as a secret; lists of authorities can be
// updated meanwhile; and nothing of it is in the image.
func TestCAInRunLines(t *testing.T) {
	w := newWorld(t)
	web := testkit.ServeWeb(t)
	repos := t.TempDir()
	testkit.NewRepo(t, filepath.Join(repos, "repo")).Commit(map[string]string{"x": "y"})
	web.Handle("files.example", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "the file") }))
	web.Handle("git.example", testkit.GitHandler(t, repos))
	web.Handle("apt.example", aptRepository(t))
	w.context = t.TempDir()
	debianRoot(t, filepath.Join(w.context, "root"))
	buildFetch(t, filepath.Join(w.context, "root", "usr", "bin", "fetch"))
	w.write("Dockerfile", strings.ReplaceAll(caFile, "NONCE", t.TempDir()))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, web.CA, 0o600))
	proxy := []string{"--build-arg", "HTTPS_PROXY=" + web.ProxyURL, "--build-arg", "HTTP_PROXY=" + web.ProxyURL, "--secret", "id=ca,src=" + ca}
	build := func(target string, args ...string) (string, error) {
		return w.build(slices.Concat(proxy, []string{"--target", target, "-o", "type=cacheonly"}, args)...)
	}
	given := []string{"--build-arg", "LARDER_CA=1"}
	for _, target := range []string{"curl", "git", "wget", "go", "other-user", "apt", "update"} {
		t.Run(target, func(t *testing.T) {
			out, err := build(target)
			require.Error(t, err)
			require.Regexp(t, `(?i)certificate`, out)
			out, err = build(target, given...)
			require.NoError(t, err, out)
		})
	}
	out, err := build("own", given...)
	require.Error(t, err, "what the Dockerfile sets counts")
	require.Regexp(t, `(?i)certificate`, out)
	out, err = build("alone", given...)
	require.NoError(t, err, out)
	out, err = build("by-hand")
	require.NoError(t, err, out)

	w.env = append(w.env, "SSL_CERT_FILE="+ca+".not")
	out, err = w.build("--target", "curl", "--no-cache-filter", "curl", "--build-arg", "LARDER_CA=1")
	require.Error(t, err)
	require.Contains(t, out, "secret ca: not found")

	// The list is in the place of the one that the base has.
	own := []string{"--secret", "id=own,src=" + ca}
	out, err = build("listed", own...)
	require.NoError(t, err, out)
	other := filepath.Join(t.TempDir(), "other.pem")
	require.NoError(t, os.WriteFile(other, testkit.ServeWeb(t).CA, 0o600))
	out, err = w.build(slices.Concat(proxy[:4], own, given, []string{"--target", "listed", "-o", "type=cacheonly", "--secret", "id=ca,src=" + other})...)
	require.Error(t, err)
	require.Regexp(t, `(?i)certificate`, out)

	image := func(args ...string) (ocispecs.ImageConfig, []string) {
		file := w.image(slices.Concat(proxy, []string{"--target", "traces"}, args)...)
		return lastLayer(t, file, web.CA)
	}
	config, files := image()
	withConfig, withFiles := image(given...)
	require.Equal(t, config, withConfig)
	require.Equal(t, files, withFiles)
	require.Contains(t, strings.Join(files, "\n"), "made")
}

// lastLayer lists what is in the last layer of an image, without times, and wants an authority to be in none of its blobs.
func lastLayer(t *testing.T, file string, ca []byte) (config ocispecs.ImageConfig, files []string) {
	index, read := readIndex(t, file)
	var manifest ocispecs.Manifest
	read(index.Manifests[0], &manifest)
	var img ocispecs.Image
	read(manifest.Config, &img)
	for i, d := range manifest.Layers {
		data := blobOf(t, file, d)
		zr, err := gzip.NewReader(bytes.NewReader(data))
		require.NoError(t, err)
		plain, err := io.ReadAll(zr)
		require.NoError(t, err)
		require.NotContains(t, string(plain), strings.Split(string(ca), "\n")[1])
		require.NotContains(t, string(plain), "larder-ca")
		require.NotContains(t, string(plain), "larder-secret-ca")
		for tr := tar.NewReader(bytes.NewReader(plain)); i == len(manifest.Layers)-1; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			files = append(files, fmt.Sprintf("%s %c %o %d %s", h.Name, h.Typeflag, h.Mode, h.Size, h.Linkname))
		}
	}
	return img.Config, files
}

// blobOf returns a blob of an OCI tar file.
func blobOf(t *testing.T, file string, d ocispecs.Descriptor) []byte {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		require.NoError(t, err, "there is no such blob")
		if h.Name == "blobs/sha256/"+d.Digest.Encoded() {
			data, err := io.ReadAll(tr)
			require.NoError(t, err)
			return data
		}
	}
}
