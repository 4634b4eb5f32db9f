// Package request turns the flags of larder build, which are docker's own, into
// what BuildKit solves. It exists so that cmd holds no logic: the meaning of
// every flag, and every refusal of a wrong one, is here and is tested
// without a builder.
package request

import (
	"io"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/larder-build/larder/internal/proof/materials"
)

// Options are the flags and the argument of larder build, as written.
type Options struct {
	Context       string   // PATH, URL or "-"
	File          string   // -f; "-" is standard input; empty is PATH/Dockerfile
	Tags          []string // -t
	Outputs       []string // -o
	Push, Load    bool
	Platforms     []string // each may be a comma-separated list
	Target        string
	BuildArgs     []string // NAME=VALUE, or NAME for the value in Host.Env
	BuildContexts []string // NAME=SPEC
	Secrets       []string
	SSH           []string
	NoCache       bool
	NoCacheFilter []string
	Pull          bool
	CacheFrom     []string
	CacheTo       []string
	Labels        []string
	Annotations   []string
	Provenance    string
	SBOM          string
	Attests       []string
	Allow         []string
	AddHosts      []string // HOST:IP or HOST=IP
	Network       string
	ShmSize       string   // of /dev/shm in steps, such as 128m
	Ulimits       []string // NAME=SOFT[:HARD]
	Call          string

	Bundle *materials.Bundle // of which BuildContexts are, for the provenance; nil for none

	Again func(folder string) string // the command, for another folder of Context; nil if it isn't known
}

// Host is what a request takes from the machine besides the flags. The command
// reads it once and hands it down; this package reads no environment.
type Host struct {
	Env        map[string]string
	Stdin      io.Reader
	Stdout     io.Writer              // where an output with dest=- goes; nil refuses it (a terminal)
	Executable string                 // path of the running larder, for the in-build steps
	Docker     *configfile.ConfigFile // registry credentials and proxies; nil for none
	CACerts    string                 // PEM file of the machine's roots, passed as secret "ca"; empty for none
	Commits    *Commits               // shared by requests that are made together; nil asks git for each
}

// Builder is what a request must know about the BuildKit that will solve it.
type Builder struct {
	DockerEngine    bool   // a Docker engine: images go to its own store
	ContainerdStore bool   // that store is containerd's, which has all of BuildKit's outputs
	Embedded        bool   // the command's own, which nobody else exports from
	Platform        string // its own platform, such as linux/amd64; empty if unknown
}
