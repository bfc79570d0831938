package gateway

import (
	"fmt"
	"time"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

// What the specification says of scaling where a user said nothing.
const (
	defaultMaxReplicas   = 10
	defaultThreshold     = 10
	defaultScaledownSecs = 300
)

// scalingBounds are the platform's, which hold whatever an app asks for.
type scalingBounds struct {
	maxReplicas        uint32
	leastScaledownSecs uint32
}

func (c Config) scalingBounds() scalingBounds {
	return scalingBounds{maxReplicas: c.MaxReplicas, leastScaledownSecs: wholeSeconds(c.LeastScaledown)}
}

// wholeSeconds rounds up: a period is never shorter than what is said.
func wholeSeconds(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }

// effective is the scaling that holds: defaults filled in, and within the bounds. The notes say, one sentence each, where
// that is not what was asked for; a default that is cut is not worth one.
func (b scalingBounds) effective(s store.Scaling) (scaling *ignitev1.ScalingConfig, notes []string) {
	scaling = publicScaling(s)
	scaling.MaxReplicas = min(orDefault(s.MaxReplicas, defaultMaxReplicas), b.maxReplicas)
	if s.MaxReplicas > b.maxReplicas {
		notes = append(notes, fmt.Sprintf("scaling.max_replicas %d is above this server's cap: at most %d pods run", s.MaxReplicas, b.maxReplicas))
	}
	if s.ReservedCapacity > scaling.MaxReplicas {
		scaling.ReservedCapacity = scaling.MaxReplicas
		notes = append(notes, fmt.Sprintf("scaling.reserved_capacity %d is above the most pods that may run: %d are kept", s.ReservedCapacity, scaling.MaxReplicas))
	}
	scaling.ScaleThreshold = orDefault(s.Threshold, defaultThreshold)
	scaling.ScaledownPeriodSecs = max(orDefault(s.ScaledownPeriodSecs, defaultScaledownSecs), b.leastScaledownSecs)
	if s.ScaledownPeriodSecs != 0 && s.ScaledownPeriodSecs < b.leastScaledownSecs {
		notes = append(notes, fmt.Sprintf("scaling.scaledown_period_secs %d is below this server's floor: pods stay for %d s", s.ScaledownPeriodSecs, b.leastScaledownSecs))
	}
	return scaling, notes
}

// scalingNotes are the notes on what an app asks for.
func (s *service) scalingNotes(c store.Config) []string {
	_, notes := s.cfg.scalingBounds().effective(c.Scaling)
	return notes
}
