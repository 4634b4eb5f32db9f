package main

import (
	"context"
	"errors"
	"net/url"

	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/util/progress/progressui"
)

// fetchDefinition returns a function that reads a bake definition at a URL, on the builder that o finds, and shows how
// far it is.
func (c *command) fetchDefinition(o *builder.Options, mode progressui.DisplayMode) func(context.Context, string, gateway.BuildFunc) error {
	return func(ctx context.Context, place string, read gateway.BuildFunc) (err error) {
		session, err := request.Session(request.Options{Context: place, Secrets: c.bakeSecrets(place)}, c.host())
		if err != nil {
			return err
		}
		b, _, err := c.connect(ctx, *o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		display, err := progressui.NewDisplay(c.stderr, mode)
		if err != nil {
			return err
		}
		status, shown := make(chan *client.SolveStatus), make(chan struct{})
		go func() {
			defer close(shown)
			_, _ = display.UpdateFrom(context.WithoutCancel(ctx), status) // it ends with the stream
		}()
		_, err = b.Client.Build(ctx, client.SolveOpt{Session: session, Internal: true}, "larder", read, status)
		<-shown
		return err
	}
}

// bakeSecrets returns the credentials of the environment for a git repository, as bake names them, in the form of
// --secret. Only the host of that repository is shown them.
func (c *command) bakeSecrets(place string) (secrets []string) {
	u, err := url.Parse(place)
	if err != nil || u.Host == "" {
		return nil
	}
	for variable, id := range map[string]string{"BUILDX_BAKE_GIT_AUTH_TOKEN": llb.GitAuthTokenKey, "BUILDX_BAKE_GIT_AUTH_HEADER": llb.GitAuthHeaderKey} {
		if c.env[variable] != "" {
			secrets = append(secrets, "id="+id+"."+u.Host+",env="+variable)
		}
	}
	return secrets
}
