package store

import "sync"

// rememberedCreations bounds the memory that records take which nobody asked for yet: theirs is about a KiB each.
const rememberedCreations = 8192

// creations remembers the records that this Store created, until they are asked for once. Where the gateway and a worker are
// one process, that spares the worker a read of what its process wrote a moment ago.
type creations struct {
	mu      sync.Mutex
	records map[string]Execution
}

func (c *creations) put(e Execution) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.records == nil {
		c.records = map[string]Execution{}
	}
	if len(c.records) >= rememberedCreations {
		c.dropOne()
	}
	c.records[e.ID] = e
}

// dropOne makes room. Any will do: what is not remembered is read.
func (c *creations) dropOne() {
	for id := range c.records {
		delete(c.records, id)
		return
	}
}

func (c *creations) take(org, id string) (Execution, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.records[id]
	if !ok || e.Org != org {
		return Execution{}, false
	}
	delete(c.records, id)
	return e, true
}

// Creating reports whether a CreateExecution of this Store is under way.
func (s *Store) Creating() bool { return s.creating.Load() > 0 }

// TakeCreated answers, once, the record as this Store created it, if that was not long ago. It may have changed since, by another
// process: it is for nobody to read, but good enough to update, because UpdateExecution finds out.
func (s *Store) TakeCreated(org, id string) (Execution, bool) { return s.created.take(org, id) }
