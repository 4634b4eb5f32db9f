# All images of this module, for two platforms, in one build:
#
#   cd examples/bake
#   docker buildx bake   # or, without Docker: larder bake
#   VERSION=v1.2.0 REGISTRY=registry.example.com/spool docker buildx bake --push
#   docker buildx bake worker --set worker.platform=linux/arm64

variable "REGISTRY" { default = "spool" }
variable "VERSION" { default = "dev" }

group "default" {
  targets = ["image"]
}

# The matrix makes a target of each command: enqueue, worker and status.
target "image" {
  matrix = {
    command = ["enqueue", "worker", "status"]
  }
  name      = command
  target    = command
  platforms = ["linux/amd64", "linux/arm64"]
  tags      = ["${REGISTRY}/${command}:${VERSION}"]
  labels = {
    "org.opencontainers.image.version" = VERSION
  }
}
