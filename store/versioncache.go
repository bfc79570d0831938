package store

import "sync"

// cachedVersions bounds the memory that versions take: theirs is a few KiB each.
const cachedVersions = 2048

type versionID struct {
	incarnation string
	number      uint32
}

// versionCache keeps versions that were read. They never change, so nothing in it can be wrong.
type versionCache struct {
	mu       sync.RWMutex
	versions map[versionID]Version
}

func (c *versionCache) get(id versionID) (Version, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.versions[id]
	return v, ok
}

func (c *versionCache) put(id versionID, v Version) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.versions == nil {
		c.versions = map[versionID]Version{}
	}
	if len(c.versions) >= cachedVersions {
		c.dropOne()
	}
	c.versions[id] = v
}

// dropOne makes room. Any will do: reading one again takes microseconds.
func (c *versionCache) dropOne() {
	for id := range c.versions {
		delete(c.versions, id)
		return
	}
}
