// The frontend's image. "docker buildx bake" builds it with docker/dockerfile; "docker buildx bake frontend-larder"
// builds it with a Larder that exists already.

variable "REPO" { default = "ghcr.io/larder-build/larder" }
variable "TAG" { default = "1" }
variable "LARDER" { default = "ghcr.io/larder-build/larder:1" }

group "default" { targets = ["frontend"] }

target "platforms" {
  platforms = ["linux/amd64", "linux/arm64"]
}

target "frontend" {
  inherits = ["platforms"]
  tags     = ["${REPO}:${TAG}"]
}

target "frontend-larder" {
  inherits          = ["platforms"]
  dockerfile-inline = "# syntax=${LARDER}"
  target            = "larder-frontend"
  tags              = ["${REPO}:${TAG}"]
  labels = {
    "moby.buildkit.frontend.network.none" = "true"
    "moby.buildkit.frontend.caps"         = "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts"
    "org.opencontainers.image.licenses"   = "Apache-2.0"
  }
}
