package testkit

import "testing"

const golangImage = `FROM go:1.26 AS go
FROM scratch
COPY --from=go / /
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN echo "app:x:1000:1000::/home/app:/bin/sh" >>/etc/passwd && mkdir -p /home/app && chown 1000:1000 /home/app
ENV GOPATH=/go GOTOOLCHAIN=local PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /go
`

// PushGolang makes an image like the official golang:1.26-alpine, which can't be pulled here, and pushes it: a Go
// toolchain, a shell with the usual commands, and the same environment. There is a user app besides root. It is made by
// Larder's image on the BuildKit daemon at addr, with a toolchain from a module proxy.
func PushGolang(t testing.TB, addr, larder, proxy, image string) {
	pushWithBusybox(t, addr, image, "# syntax="+larder+"\n"+golangImage, "--opt", "build-arg:GOPROXY="+proxy)
}
