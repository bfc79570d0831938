package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// What everything of ours in the engine is labelled with.
const (
	labelInstallation = "io.dodil.ignite.installation"
	labelPod          = "io.dodil.ignite.pod"
	labelApp          = "io.dodil.ignite.app"
	labelVersion      = "io.dodil.ignite.version"
)

// installation answers the name in dir, and gives it one if it has none.
func installation(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "installation")
	content, err := os.ReadFile(file)
	if err == nil && len(content) > 0 {
		return string(content), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	name := strings.ToLower(rand.Text()[:12])
	return name, os.WriteFile(file, []byte(name), 0o600)
}

// ours selects what has this installation's label.
func (d *Driver) ours() client.Filters {
	return client.Filters{}.Add("label", labelInstallation+"="+d.installation)
}

// removeLeftovers removes the containers of a server that did not come to stop them.
func (d *Driver) removeLeftovers(ctx context.Context) error {
	left, err := d.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: d.ours()})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, c := range left.Items {
		if err := d.remove(ctx, c.ID); err != nil {
			return fmt.Errorf("remove a container that an earlier server left behind: %w", err)
		}
		d.logger.WarnContext(ctx, "removed a container that an earlier server left behind",
			slog.String("pod", c.Labels[labelPod]), slog.String("app", c.Labels[labelApp]), slog.String("state", string(c.State)))
	}
	return nil
}

// remove kills a container if it runs and removes it with its volumes. One that is gone, or that somebody else is removing, is no error.
func (d *Driver) remove(ctx context.Context, id string) error {
	_, err := d.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return err
	}
	return nil
}

// openNetwork answers the network of this installation's pods and makes it if it is not there.
func (d *Driver) openNetwork(ctx context.Context) (string, error) {
	there, err := d.api.NetworkList(ctx, client.NetworkListOptions{Filters: d.ours()})
	if err != nil {
		return "", fmt.Errorf("list networks: %w", err)
	}
	if len(there.Items) > 0 {
		return there.Items[0].ID, nil
	}
	made, err := d.api.NetworkCreate(ctx, "ignite-"+d.installation, client.NetworkCreateOptions{
		Driver:  "bridge",
		Options: map[string]string{"com.docker.network.bridge.enable_icc": "false"},
		Labels:  map[string]string{labelInstallation: d.installation},
	})
	if err != nil {
		return "", fmt.Errorf("make a network for pods: %w", err)
	}
	return made.ID, nil
}
