package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"dodil.io/ignite/engine/build/image"
	"dodil.io/ignite/engine/pod"
	"dodil.io/ignite/engine/pod/docker"
	"dodil.io/ignite/engine/pod/process"
)

// drivers starts what is an image as a container, and everything else as a process. It is a pod.Driver.
type drivers struct {
	processes *process.Driver
	// containers is nil without an engine for them.
	containers *docker.Driver
}

// openDrivers opens both. What it opened is closed after an error.
func openDrivers(ctx context.Context, config Config, processes *process.Driver, logger *slog.Logger) (*drivers, error) {
	if err := processes.Open(ctx); err != nil {
		return nil, err
	}
	containers, err := openDocker(ctx, config, logger)
	if err != nil {
		return nil, errors.Join(err, processes.Close(ctx))
	}
	return &drivers{processes: processes, containers: containers}, nil
}

// openDocker answers nil if no engine is set.
func openDocker(ctx context.Context, config Config, logger *slog.Logger) (*docker.Driver, error) {
	if config.Pods.DockerHost == "" {
		return nil, nil
	}
	driver, err := docker.New(docker.Options{
		Host: config.Pods.DockerHost, Dir: filepath.Join(config.DataDir, "containers"), ListenLimit: config.Engine.ListenLimit, Logger: logger,
	})
	if err == nil {
		err = driver.Open(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s (--%s): %w", envName("docker_host"), flagName("docker_host"), err)
	}
	return driver, nil
}

// images answers what makes images; nil without an engine.
func (d *drivers) images() image.Engine {
	if d.containers == nil {
		return nil
	}
	return d.containers
}

// Start hands spec to the driver that it is for.
func (d *drivers) Start(ctx context.Context, spec pod.Spec) (pod.Pod, error) {
	switch {
	case spec.Image == "":
		return d.processes.Start(ctx, spec)
	case d.containers == nil:
		return nil, &pod.StartError{Pod: spec.Name, Reason: "this server runs no images: it was started without a Docker engine (" + envName("docker_host") + ")"}
	}
	return d.containers.Start(ctx, spec)
}

// Close stops every pod that is left, of both kinds at once.
func (d *drivers) Close(ctx context.Context) error {
	var closing sync.WaitGroup
	var faults [2]error
	closing.Go(func() { faults[0] = d.processes.Close(ctx) })
	if d.containers != nil {
		closing.Go(func() { faults[1] = d.containers.Close(ctx) })
	}
	closing.Wait()
	return errors.Join(faults[:]...)
}
