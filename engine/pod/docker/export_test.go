package docker

import (
	"context"

	"github.com/moby/moby/client"
)

// Gateway answers this machine's address in the driver's network.
func (d *Driver) Gateway(ctx context.Context) (string, error) {
	network, err := d.api.NetworkInspect(ctx, d.network, client.NetworkInspectOptions{})
	if err != nil {
		return "", err
	}
	return network.Network.IPAM.Config[0].Gateway.String(), nil
}

// API answers the connection to the engine.
func (d *Driver) API() *client.Client { return d.api }

// Containers answers what the engine has of the driver's installation.
func (d *Driver) Containers(ctx context.Context) (client.ContainerListResult, error) {
	return d.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: d.ours()})
}

// RemoveImage removes one image by its name, whoever made it.
func (d *Driver) RemoveImage(ctx context.Context, ref string) error { return d.removeImage(ctx, ref) }
