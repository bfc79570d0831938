package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// Pods have users of their own from this range, which is far from those that machines, containers and directory services give to people.
const (
	firstUser = 0x7A000000
	userCount = 1 << 16
)

var errNoUser = errors.New("all numbers for users of pods are in use")

// users remembers the numbers that pods have. Users and groups have the same.
type users struct {
	first int

	mu    sync.Mutex
	taken map[int]struct{}
}

// newUsers takes the range from what uidMap, the contents of /proc/self/uid_map, says that this process may give away.
func newUsers(uidMap string) (*users, error) {
	for line := range strings.Lines(uidMap) {
		var inside, outside, count int
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return nil, fmt.Errorf("user map %q: %w", line, err)
		}
		switch {
		case inside <= firstUser && firstUser+userCount <= inside+count:
			return &users{first: firstUser, taken: make(map[int]struct{})}, nil
		case count >= 2*userCount:
			return &users{first: inside + count - userCount, taken: make(map[int]struct{})}, nil
		}
	}
	return nil, fmt.Errorf("this user namespace has no %d users for pods", userCount)
}

// take answers a number that no pod has, and that none has had lately.
func (u *users) take() (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.taken) >= userCount/2 {
		return 0, errNoUser
	}
	for {
		user := u.first + rand.IntN(userCount)
		if _, taken := u.taken[user]; !taken {
			u.taken[user] = struct{}{}
			return user, nil
		}
	}
}

// giveBack takes back what take answered; other numbers are ignored.
func (u *users) giveBack(user int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.taken, user)
}
