package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/larder-build/larder/internal/fetch"
)

// A plainError is an error that is complete for the reader. The errors of containerd and net/http around it, with URLs
// that may be signed, are left out.
type plainError struct{ err error }

// Error implements error.
func (e plainError) Error() string { return e.err.Error() }

// Unwrap returns the wrapped error.
func (e plainError) Unwrap() error { return e.err }

// unwrapped returns the plainError in an error, or the error itself.
func unwrapped(err error) error {
	var plain plainError
	if errors.As(err, &plain) {
		return plain
	}
	return err
}

// named returns an error of package fetch with the name of the server.
func named(host string, err error) error {
	var again *fetch.TemporaryError
	var silent *fetch.SilenceError
	var redirect *fetch.RedirectError
	var cert *tls.CertificateVerificationError
	text := fmt.Errorf("%s: %w", host, err)
	switch {
	case errors.As(err, &silent):
		text = fmt.Errorf("%s sent nothing for %v", host, silent.For)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, fetch.ErrClosed):
		text = fmt.Errorf("%s closed the connection before the end", host)
	case errors.As(err, &redirect) && redirect.Loop:
		text = fmt.Errorf("%s redirects %s times", host, redirect.Why)
	case errors.As(err, &redirect):
		text = fmt.Errorf("refusing the redirect of %s %s", host, redirect.Why)
	case errors.As(err, &cert):
		text = fmt.Errorf("%w: if a company's authority signed its certificate, pass that authority's with --ca FILE", text)
	}
	if errors.As(err, &again) {
		return &fetch.TemporaryError{Err: text}
	}
	return text
}

// explain turns an error of containerd into one clear error.
func (a *access) explain(ctx context.Context, err error) error {
	var plain plainError
	var status remoteserrors.ErrUnexpectedStatus
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &plain):
		return plain.err
	case errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		return a.refused(status.Status, said(status.Body))
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return a.refused("401 Unauthorized", "")
	case errors.As(err, &status):
		return fmt.Errorf("%s answered %s%s", a.host(), status.Status, said(status.Body))
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s has no %s: %w", a.host(), a.named, errdefs.ErrNotFound)
	}
	return fetch.OneLine(err)
}

// refused returns an error with advice for a registry that refuses.
func (a *access) refused(status, said string) error {
	host := a.host()
	user, known := a.client.userOf(host)
	if user == "" {
		user = "the token that docker has for it"
	}
	if !known {
		return fmt.Errorf("%s refuses %s without a login (%s%s): run 'docker login %s'", host, reference.Path(a.named), status, said, host)
	}
	return fmt.Errorf("%s refuses %s to %s (%s%s): run 'docker login %s' again, or ask for access", host, reference.Path(a.named), user, status, said, host)
}

// said returns the first reason in a registry's answer, for the end of a message. The form is that of
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes.
func said(body []byte) string {
	var reasons struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(body, &reasons) != nil || len(reasons.Errors) == 0 {
		return ""
	}
	return fmt.Sprintf(": %.200q", cmp.Or(reasons.Errors[0].Message, reasons.Errors[0].Code))
}
