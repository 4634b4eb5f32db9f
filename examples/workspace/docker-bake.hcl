group "default" { targets = ["plain", "go", "run"] }

target "workspace" {
  context = "."
  args    = { GOFIPS140 = "latest" }
}

target "plain" {
  inherits   = ["workspace"]
  dockerfile = "plain.Dockerfile"
  target     = "api"
}

target "go" { inherits = ["workspace"] }

target "run" {
  inherits   = ["workspace"]
  dockerfile = "run.Dockerfile"
}
