package main

import (
	"fmt"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/plain"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/cli/request"
)

// writePlain writes a plan's Dockerfile as a plain Dockerfile.
func (c *command) writePlain(f *planFlags, in request.Inputs, p *planner.Plan) error {
	data, err := plain.Write(plain.Request{File: dockerfile.Parse(in.Filename, in.Dockerfile), Plan: p, Target: f.Target})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(f.out, data); err != nil {
		return fmt.Errorf("--dockerfile-out: %w", err)
	}
	return nil
}
