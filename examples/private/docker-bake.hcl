variable "HOME" { default = "" }

target "default" {
  context = "."
  args    = { GOPRIVATE = "git.acme.example" }
  secret  = ["id=netrc,src=${HOME}/.netrc"]
  # By SSH, with https://git.acme.example/ rewritten by insteadOf in the gitconfig:
  # ssh    = ["default"]
  # secret = ["id=known_hosts,src=${HOME}/.ssh/known_hosts", "id=gitconfig,src=${HOME}/.gitconfig"]
}
