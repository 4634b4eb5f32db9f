package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/oci"
)

const (
	startLimit = 20 * time.Second
	startPoll  = 50 * time.Millisecond
	maxAnswer  = 1 << 20
)

// A service is a container that serves HTTP.
type service struct {
	image     *oci.Image
	container *oci.Container
	url       string
	ended     chan struct{} // closed when the container has ended
	log       *strings.Builder
}

// start starts the image on a free port of this machine.
func start(ctx context.Context, image *oci.Image) (*service, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	s := &service{image: image, url: "http://127.0.0.1:" + port, ended: make(chan struct{}), log: &strings.Builder{}}
	s.container, err = image.Start(ctx, oci.RunOptions{Env: []string{"PORT=" + port}, Stdout: s.log, Stderr: s.log})
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(s.ended)
		_ = s.container.Wait() // stop returns the error
	}()
	return s, nil
}

func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// stop stops the container. If it failed, the error has what it printed.
func (s *service) stop() error {
	if err := s.container.Stop(); err != nil {
		return fmt.Errorf("the service ended with: %w\n%s", err, s.log)
	}
	return nil
}

// binarySize returns the size of the file that the entrypoint names.
func (s *service) binarySize() (int64, error) {
	entrypoint := s.image.Config.Config.Entrypoint
	if len(entrypoint) == 0 {
		return 0, errors.New("the image has no entrypoint")
	}
	root, err := os.OpenRoot(s.container.Rootfs())
	if err != nil {
		return 0, err
	}
	defer root.Close()
	info, err := root.Stat(strings.TrimPrefix(entrypoint[0], "/"))
	if err != nil {
		return 0, fmt.Errorf("the image's entrypoint: %w", err)
	}
	return info.Size(), nil
}

// ask prints what the service answers, and fails unless it runs as it should.
func (s *service) ask(ctx context.Context, out io.Writer) error {
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "Answers:")
	var check struct {
		OK  bool `json:"ok"`
		UID int  `json:"uid"`
	}
	for _, path := range []string{"/", "/selfcheck"} {
		status, body, err := s.get(ctx, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  %-11s %d %s\n", path, status, strings.TrimSpace(string(body)))
		if status != http.StatusOK {
			return fmt.Errorf("GET %s answers %d", path, status)
		}
		if path == "/selfcheck" {
			if err := json.Unmarshal(body, &check); err != nil {
				return fmt.Errorf("GET %s: %w", path, err)
			}
		}
	}
	if check.UID != wantUID || !check.OK {
		return fmt.Errorf("the service runs as user %d and says ok=%t of itself; want user %d and true", check.UID, check.OK, wantUID)
	}
	return nil
}

// waitReady waits until the service answers at all.
func (s *service) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		_, _, err := s.get(ctx, "/healthz")
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("the service ended before it answered")
		case <-ctx.Done():
			return fmt.Errorf("the service doesn't answer: %w", err)
		case <-time.After(startPoll):
		}
	}
}

func (s *service) get(ctx context.Context, path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, body, err
}
