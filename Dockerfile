# The image of Larder's frontend, built with nothing but docker/dockerfile. With Larder itself it needs no file at all:
# see the target frontend-larder of docker-bake.hcl.
ARG GO_IMAGE=golang:1.26-alpine

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN --mount=type=bind,target=/src \
    --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", "/out/larder-frontend", "./cmd/larder-frontend"]

FROM scratch
LABEL moby.buildkit.frontend.network.none="true" \
      moby.buildkit.frontend.caps="moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts" \
      org.opencontainers.image.title="larder-frontend" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/larder-frontend /larder-frontend
ENTRYPOINT ["/larder-frontend"]
