package docker

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	spec "github.com/moby/docker-image-spec/specs-go/v1"
	engine "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"dodil.io/ignite/engine/pod"
)

const (
	// defaultPort is that of an app that declares none.
	defaultPort = 80
	// defaultUser runs images that name none, or root, or one by a name: that may well be another name of root.
	defaultUser = "65532:65532"
	// maxProcesses bounds the processes and threads of one pod.
	maxProcesses = 1024
	homeDir      = "/ignite/home"
	tempDir      = "/tmp"
	// defaultScratch is how much a pod without a memory limit may write to each of its writable folders.
	defaultScratch = 256 << 20
)

// create makes the container of s, which does not run yet, and answers its id. It takes as long as the engine takes, whatever becomes of
// ctx: one that is made while nobody listens would be left behind.
func (d *Driver) create(ctx context.Context, s pod.Spec, image spec.DockerOCIImageConfig) (id string, err error) {
	env, err := environment(s)
	if err != nil {
		return "", err
	}
	user := userOf(image.User)
	if user != image.User {
		d.logger.InfoContext(ctx, "a pod runs as another user than its image asks for, which is root or no number",
			slog.String("pod", s.Name), slog.String("image_user", image.User), slog.String("user", user))
	}
	ref, err := normal(s.Image)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupLimit)
	defer cancel()
	made, err := d.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: "ignite-" + s.Name + "-" + strings.ToLower(rand.Text()[:8]),
		Config: &engine.Config{
			Image:        ref,
			User:         user,
			Env:          env,
			Entrypoint:   s.Command,
			AttachStdout: true,
			AttachStderr: true,
			Healthcheck:  &spec.HealthcheckConfig{Test: []string{"NONE"}},
			Labels: map[string]string{
				labelInstallation: d.installation,
				labelPod:          s.Name,
				labelApp:          s.Org + "/" + s.App,
				labelVersion:      strconv.FormatUint(uint64(s.Version), 10),
			},
		},
		HostConfig: d.confinement(s, user, image.Volumes),
	})
	if err != nil {
		return "", fmt.Errorf("create container: %w", err)
	}
	return made.ID, nil
}

// confinement is what the package comment promises that a pod may do.
func (d *Driver) confinement(s pod.Spec, user string, volumes map[string]struct{}) *engine.HostConfig {
	memory := int64(s.MemoryMB) << 20
	return &engine.HostConfig{
		NetworkMode:    engine.NetworkMode(d.network),
		LogConfig:      engine.LogConfig{Type: "none"},
		RestartPolicy:  engine.RestartPolicy{Name: engine.RestartPolicyDisabled},
		CapDrop:        []string{"ALL"},
		SecurityOpt:    []string{"no-new-privileges"},
		ReadonlyRootfs: true,
		Tmpfs:          scratch(memory, user, volumes),
		Sysctls:        map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"},
		Init:           new(true),
		Resources: engine.Resources{
			Memory:     memory,
			MemorySwap: memory, // together with swap, so that there is none
			NanoCPUs:   d.nanoCPUs(s.CPUMillicores),
			PidsLimit:  new(int64(maxProcesses)),
		},
	}
}

// nanoCPUs is at most what the machine has: the engine refuses to promise more.
func (d *Driver) nanoCPUs(millicores uint32) int64 {
	return min(int64(millicores)*1e6, int64(d.processors)*1e9)
}

// scratch are the folders that a pod may write to. A quarter of its memory each, so that filling one is told to the program as a full
// disk before it is killed for its memory.
func scratch(memory int64, user string, volumes map[string]struct{}) map[string]string {
	size := cmp.Or(memory/4, defaultScratch)
	uid, _, _ := strings.Cut(user, ":")
	folders := map[string]string{
		tempDir: fmt.Sprintf("rw,exec,nosuid,nodev,mode=1777,size=%d", size),
		homeDir: fmt.Sprintf("rw,exec,nosuid,nodev,mode=0700,uid=%s,size=%d", uid, size),
	}
	for volume := range volumes {
		if _, taken := folders[volume]; !taken {
			folders[volume] = fmt.Sprintf("rw,exec,nosuid,nodev,mode=0700,uid=%s,size=%d", uid, size)
		}
	}
	return folders
}

// userOf is the image's user if that is a number other than root's.
func userOf(image string) string {
	uid, gid, grouped := strings.Cut(image, ":")
	number, err := strconv.ParseUint(uid, 10, 31)
	if err != nil || number == 0 {
		return defaultUser
	}
	if _, err := strconv.ParseUint(gid, 10, 31); grouped && err != nil {
		return defaultUser
	}
	return image
}

// environment is what the app asks for, under what the driver promises. PATH is the image's.
func environment(s pod.Spec) ([]string, error) {
	all := map[string]string{"LANG": "C.UTF-8"}
	maps.Copy(all, s.Env)
	all["HOME"], all["TMPDIR"], all["PORT"] = homeDir, tempDir, strconv.FormatUint(uint64(primary(s)), 10)
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		delete(all, name)
	}
	var env []string
	for name, value := range all {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return nil, fmt.Errorf("environment variable %q cannot be set", name)
		}
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env, nil
}

// primary is the port that the pod finds in $PORT.
func primary(s pod.Spec) uint32 {
	if len(s.Ports) == 0 {
		return defaultPort
	}
	return s.Ports[0]
}
