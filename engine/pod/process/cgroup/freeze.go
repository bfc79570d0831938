package cgroup

import (
	"context"
	"fmt"
	"strings"
)

// CanFreeze reports whether Freeze works.
func (t *Tree) CanFreeze() bool { return t.parents[freezer] != "" }

// Freeze returns when no process of the group runs any more.
func (g *Group) Freeze(ctx context.Context) error {
	if err := g.setFrozen("FROZEN", "1"); err != nil {
		return err
	}
	return g.awaitFrozen(ctx, "FROZEN", "frozen 1")
}

// Thaw returns when the processes of the group go on.
func (g *Group) Thaw(ctx context.Context) error {
	if err := g.setFrozen("THAWED", "0"); err != nil {
		return err
	}
	return g.awaitFrozen(ctx, "THAWED", "frozen 0")
}

func (g *Group) setFrozen(v1, v2 string) error {
	dir, ok := g.dirs[freezer]
	switch {
	case !ok:
		return fmt.Errorf("freeze: %w", errNoController)
	case g.tree.v2:
		return write(dir, "cgroup.freeze", v2)
	}
	return write(dir, "freezer.state", v1)
}

func (g *Group) awaitFrozen(ctx context.Context, v1, v2 string) error {
	return await(ctx, func() (bool, error) {
		text, err := g.read(freezer, "freezer.state", "cgroup.events")
		if err != nil {
			return true, err
		}
		if g.tree.v2 {
			return strings.Contains(text, v2+"\n"), nil
		}
		return strings.TrimSpace(text) == v1, nil
	})
}
