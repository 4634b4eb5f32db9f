// The frontend's image. "docker buildx bake" builds it with docker/dockerfile; "docker buildx bake frontend-larder"
// builds it with a Larder that exists already.

variable "REPO" { default = "ghcr.io/larder-build/larder" }
variable "TAG" { default = "1" }
variable "LARDER" { default = "ghcr.io/larder-build/larder:1" }

group "default" { targets = ["frontend"] }

target "platforms" {
  platforms = ["linux/amd64", "linux/arm64"]
}

// A fresh builder unpacks zstd in a third of the time of gzip, before each of its builds can begin. What is too old for
// that, BuildKit before 0.10 and Docker before 23, is too old for Larder.
target "compressed" {
  output = ["type=image,oci-mediatypes=true,compression=zstd,force-compression=true"]
}

target "frontend" {
  inherits = ["platforms", "compressed"]
  tags     = ["${REPO}:${TAG}"]
}

target "frontend-larder" {
  inherits          = ["platforms", "compressed"]
  dockerfile-inline = "# syntax=${LARDER}"
  target            = "larder-frontend"
  tags              = ["${REPO}:${TAG}"]
  labels = {
    "moby.buildkit.frontend.network.none" = "true"
    "moby.buildkit.frontend.caps"         = "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts"
    "org.opencontainers.image.licenses"   = "Apache-2.0"
  }
}
