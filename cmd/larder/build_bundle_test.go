package main

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// What is printed is the user's own command, in buildx's words.
func TestBundleCommands(t *testing.T) {
	f := &buildFlags{}
	flags := pflag.NewFlagSet("build", pflag.ContinueOnError)
	f.register(flags)
	require.NoError(t, flags.Parse([]string{
		"--bundle", "b", "--ca", "ca.pem", "--plain-http", "registry.internal", "--builder", "unix:///sock", "--build-arg", "LARDER_OFFLINE=1", "--build-arg", "GOAMD64", "-f", "app/Dockerfile.a b",
		"--platform", "linux/amd64,linux/arm64", "--platform=linux/arm/v7", "-t", "x:1", "-o", "type=oci,dest=x.tar", "--secret", "id=netrc", "--no-cache", "--add-host", "a:1,b:2",
	}))
	contexts := []string{"larder-modules=oci-layout://b@sha256:0", "alpine:3=oci-layout://b@sha256:1"}
	require.Equal(t, "docker buildx build --build-context 'larder-modules=oci-layout://b@sha256:0' --build-context 'alpine:3=oci-layout://b@sha256:1'"+
		" --add-host a:1 --add-host b:2 --build-arg 'LARDER_OFFLINE=1' --build-arg GOAMD64 --file 'app/Dockerfile.a b' --no-cache=true"+
		" --output 'type=oci,dest=x.tar' --platform linux/amd64,linux/arm64 --platform linux/arm/v7 --secret 'id=netrc' --tag x:1 app", buildxCommand(flags, contexts, "app"))
	require.Equal(t, "docker buildx bake --set '*.contexts.larder-modules=oci-layout://b@sha256:0' --set '*.contexts.alpine:3=oci-layout://b@sha256:1'"+
		" --set '*.args.LARDER_OFFLINE=1' --set '*.platform=linux/amd64,linux/arm64,linux/arm/v7'", bakeCommand(contexts, f))
}
