package stream

import (
	"context"
	"maps"
	"math"
	"slices"
)

const (
	// nearby is how many chunks before the wanted one reading may begin: fewer than a batch.
	nearby = readChunks / 2
	// maxSought is how many later attempts are looked at; with more, reading begins with the first chunk.
	maxSought = 32
)

// seek finds where to begin reading for a watcher that wants what follows from: after the answered place, all of that is stored,
// and little else. It reads some ten chunks where reading from the first on would read all. It names the attempt too, if from does not.
//
// Nothing rests on it: whoever misses a chunk after that place has to begin with the first.
func (s *Stream) seek(ctx context.Context, execution string, from position) (position, uint64, error) {
	attempts, err := s.attempts(ctx, execution)
	if err != nil || len(attempts) == 0 {
		return from, 0, err
	}
	if from.attempt == 0 {
		from.attempt = attempts[0]
	}
	later := slices.DeleteFunc(slices.Clone(attempts), func(a uint32) bool { return a <= from.attempt })
	if len(later) > maxSought {
		return from, 0, nil
	}
	var after uint64 = math.MaxUint64
	if slices.Contains(attempts, from.attempt) {
		if after, err = s.seekIndex(ctx, execution, from); err != nil {
			return from, 0, err
		}
	}
	// A worker that did not know that it was replaced may have stored output after that of a later attempt.
	for _, attempt := range later {
		first, found, err := s.reader.first(ctx, execution, attempt, 0)
		if err != nil {
			return from, 0, err
		}
		if found {
			after = min(after, first.sequence-1)
		}
	}
	if after == math.MaxUint64 {
		after = 0
	}
	return from, after, nil
}

// attempts answers those that have output, in ascending order.
func (s *Stream) attempts(ctx context.Context, execution string) ([]uint32, error) {
	answer, err := s.state(ctx, outputStream, executionOutput(execution))
	if err != nil {
		return nil, translate(ctx, err)
	}
	var attempts []uint32
	for subject := range maps.Keys(answer.State.Subjects) {
		if attempt, ok := parseOutput(subject, execution); ok {
			attempts = append(attempts, attempt)
		}
	}
	slices.Sort(attempts)
	return attempts, nil
}

// seekIndex finds the place within one attempt. Chunks are stored in the order of their indexes, but for repetitions.
func (s *Stream) seekIndex(ctx context.Context, execution string, from position) (uint64, error) {
	low, found, err := s.reader.first(ctx, execution, from.attempt, 0)
	if err != nil || !found {
		return 0, err
	}
	if from.index <= low.chunk.Index {
		return low.sequence - 1, nil
	}
	high, found, err := s.reader.last(ctx, execution, from.attempt)
	switch {
	case err != nil:
		return 0, err
	case found && high.chunk.Index == from.index-1:
		return high.sequence, nil
	case !found || high.chunk.Index < from.index:
		return low.sequence - 1, nil
	}
	return s.narrow(ctx, execution, from, mark{low.sequence, low.chunk.Index}, mark{high.sequence, high.chunk.Index})
}

// mark is where an index of an attempt is stored.
type mark struct {
	sequence uint64
	index    int64
}

// narrow brings two marks together, of which low is before the wanted index and high is not. Every second guess is in the middle, so that
// uneven output costs no more than twice the logarithm of its length.
func (s *Stream) narrow(ctx context.Context, execution string, from position, low, high mark) (uint64, error) {
	for even := false; from.index-low.index > nearby && high.sequence-low.sequence > nearby; even = !even {
		guess := low.sequence + (high.sequence-low.sequence)/2
		if !even {
			guess = proportion(low, high, from.index-nearby/2)
		}
		probe, found, err := s.reader.first(ctx, execution, from.attempt, guess)
		switch {
		case err != nil:
			return 0, err
		case !found: // deleted meanwhile
			return low.sequence, nil
		case probe.chunk.Index < from.index:
			low = mark{probe.sequence, probe.chunk.Index}
		default:
			high = mark{guess, probe.chunk.Index}
		}
	}
	return low.sequence, nil
}

// proportion is where index would be stored if output were even. It lies after low and not after high.
func proportion(low, high mark, index int64) uint64 {
	share := float64(index-low.index) / float64(high.index-low.index)
	guess := low.sequence + uint64(share*float64(high.sequence-low.sequence))
	return min(max(guess, low.sequence+1), high.sequence)
}
