package fault

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Call is one line of the pod's own log.
type Call struct {
	At        time.Time
	Execution string
	Attempt   uint32
	Tag       string
	// Answer is the status that the pod was going to answer.
	Answer int
}

// ReadCalls answers what pods wrote down, in the order of time. A file that was never written is no call.
func ReadCalls(name string) ([]Call, error) {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var calls []Call
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var c Call
		var at int64
		if _, err := fmt.Sscanf(lines.Text(), "%d %s %d %s %d", &at, &c.Execution, &c.Attempt, &c.Tag, &c.Answer); err != nil {
			return nil, fmt.Errorf("line %q of the calls: %w", lines.Text(), err)
		}
		c.At = time.Unix(0, at)
		calls = append(calls, c)
	}
	slices.SortStableFunc(calls, func(a, b Call) int { return a.At.Compare(b.At) })
	return calls, lines.Err()
}
