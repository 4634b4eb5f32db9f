package testkit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const alpineImage = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY --chmod=755 <<"EOF" /usr/sbin/adduser
#!/bin/sh
# adduser -D -u UID NAME: Debian's busybox has none.
echo "$4:x:$3:$3::/home/$4:/bin/sh" >>/etc/passwd
mkdir -p "/home/$4" && chown "$3:$3" "/home/$4"
EOF
RUN mkdir -m 1777 /tmp && echo "root:x:0:0:root:/root:/bin/sh" >/etc/passwd
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["/bin/sh"]
`

// PushAlpine makes an image like the official alpine:3.22, which can't be pulled here, and pushes it. The image has a
// shell and the usual commands, but no apk.
func PushAlpine(t testing.TB, addr, image string) { pushWithBusybox(t, addr, image, alpineImage) }

// pushWithBusybox builds a Dockerfile on the BuildKit daemon at addr, and pushes the image. The build context also has
// busybox.
func pushWithBusybox(t testing.TB, addr, image, dockerfile string, opts ...string) {
	dir := t.TempDir()
	data, err := os.ReadFile(Installed(t, "busybox"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "busybox"), data, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644))
	Run(t, Tool(t, "buildctl"), append([]string{"--addr", addr, "build", "--frontend", "dockerfile.v0",
		"--local", "context=" + dir, "--local", "dockerfile=" + dir, "--output", "type=image,push=true,compression=uncompressed,name=" + image}, opts...)...)
}
