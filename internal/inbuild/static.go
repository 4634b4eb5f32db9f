package inbuild

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/larder-build/larder/internal/step"
)

// nonroot is the number of the user and group that images run as. It is the one that distroless images use.
const nonroot = 65532

// staticFiles are the small files that libraries in a static binary read at run time.
var staticFiles = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n" +
		"nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n" +
		"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
	"etc/group":         "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n",
	"etc/nsswitch.conf": "hosts: files dns\n",
}

// runStatic writes the root file system that a static binary needs and nothing else: certificate authorities, time
// zones, users, a home and a place for temporary files. It must run as root, since the home belongs to the user.
func runStatic(ctx context.Context, s *step.Static, to output) error {
	if err := fill(s.Out, func(out *os.Root) error { return writeStatic(ctx, out, s.ZoneInfo) }); err != nil {
		return fmt.Errorf("writing the static base: %w", err)
	}
	fmt.Fprintln(to.stdout, "wrote certificate authorities, time zones and users")
	return nil
}

func writeStatic(ctx context.Context, out *os.Root, zoneinfo string) error {
	if err := writeFile(out, "etc/ssl/certs/ca-certificates.crt", rootsPEM(), 0o644); err != nil {
		return err
	}
	for name, text := range staticFiles {
		if err := writeFile(out, name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := writeZoneinfo(ctx, out, zoneinfo); err != nil {
		return err
	}
	for _, dir := range []string{"root", "home/nonroot", "tmp"} {
		if err := out.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := seal(out); err != nil {
		return err
	}
	return errors.Join(
		out.Chmod("root", 0o700),
		out.Chmod("home/nonroot", 0o700),
		out.Lchown("home/nonroot", nonroot, nonroot),
		out.Chmod("tmp", fs.ModeSticky|0o777),
	)
}

func writeZoneinfo(ctx context.Context, out *os.Root, file string) error {
	plain := func(name string) (string, fs.FileMode, bool) { return name, 0o644, true }
	if _, err := extract(ctx, out, "usr/share/zoneinfo", file, "", plain); err != nil {
		return fmt.Errorf("unpacking the time zones of %s: %w", path.Base(file), err)
	}
	return nil
}

// rootsPEM returns Mozilla's certificate authorities, in the order of their names, as the file that Go, OpenSSL and
// others read. It leaves out an authority that Mozilla trusts only for certificates issued before some date: the file
// can't express that, so programs would trust it for more than Mozilla does.
func rootsPEM() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if cert, err := x509.ParseCertificate(root.Certificate); err == nil {
			fmt.Fprintf(&b, "# %s\n", cert.Subject)
		}
		b.Write(certPEM(root.Certificate))
	}
	return b.Bytes()
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
