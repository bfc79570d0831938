package gateway

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	ignitev1 "dodil.io/ignite/proto/dodil/ignite/v1"
	"dodil.io/ignite/store"
)

const (
	byRate        = ignitev1.ScaleMetric_SCALE_METRIC_REQUEST_RATE
	byConcurrency = ignitev1.ScaleMetric_SCALE_METRIC_CONCURRENCY
)

// Each row is a line of the specification's table of scaling, or of what is said below it.
func TestEffectiveScaling(t *testing.T) {
	t.Parallel()
	bounds := scalingBounds{maxReplicas: 5, leastScaledownSecs: 30}
	for name, test := range map[string]struct {
		asked store.Scaling
		want  *ignitev1.ScalingConfig
		notes []string
	}{
		"the defaults are scale to zero, 10 pods capped by the platform, request rate, 10 a pod, 300 s": {
			want: &ignitev1.ScalingConfig{MaxReplicas: 5, ScaleMetric: byRate, ScaleThreshold: 10, ScaledownPeriodSecs: 300},
		},
		"what is within the bounds holds as it is, without a note": {
			asked: store.Scaling{ReservedCapacity: 1, MaxReplicas: 3, Metric: "concurrency", Threshold: 4, ScaledownPeriodSecs: 30},
			want:  &ignitev1.ScalingConfig{ReservedCapacity: 1, MaxReplicas: 3, ScaleMetric: byConcurrency, ScaleThreshold: 4, ScaledownPeriodSecs: 30},
		},
		"the effective max_replicas is the smaller of the value and the cap": {
			asked: store.Scaling{MaxReplicas: 9},
			want:  &ignitev1.ScalingConfig{MaxReplicas: 5, ScaleMetric: byRate, ScaleThreshold: 10, ScaledownPeriodSecs: 300},
			notes: []string{"scaling.max_replicas 9 is above this server's cap: at most 5 pods run"},
		},
		"a scale-down period under the floor is the floor, and it is said": {
			asked: store.Scaling{ScaledownPeriodSecs: 29},
			want:  &ignitev1.ScalingConfig{MaxReplicas: 5, ScaleMetric: byRate, ScaleThreshold: 10, ScaledownPeriodSecs: 30},
			notes: []string{"scaling.scaledown_period_secs 29 is below this server's floor: pods stay for 30 s"},
		},
		"reserved pods are pods": {
			asked: store.Scaling{ReservedCapacity: 8, MaxReplicas: 8},
			want:  &ignitev1.ScalingConfig{ReservedCapacity: 5, MaxReplicas: 5, ScaleMetric: byRate, ScaleThreshold: 10, ScaledownPeriodSecs: 300},
			notes: []string{
				"scaling.max_replicas 8 is above this server's cap: at most 5 pods run",
				"scaling.reserved_capacity 8 is above the most pods that may run: 5 are kept",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, notes := bounds.effective(test.asked)
			if !proto.Equal(got, test.want) {
				t.Errorf("effective(%+v) = %v, want %v", test.asked, got, test.want)
			}
			if !slices.Equal(notes, test.notes) {
				t.Errorf("notes = %q, want %q", notes, test.notes)
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{"*", "https://example.com", "http://localhost:5173", "https://example.com:8443"} {
		var v violations
		if v.origins([]string{origin}); v.err() != nil {
			t.Errorf("%q is refused: %v", origin, v.err())
		}
	}
	for _, origin := range []string{"", "example.com", "https://Example.com", "https://example.com/", "https://a@example.com", "ftp://example.com", "null"} {
		var v violations
		if v.origins([]string{origin}); v.err() == nil {
			t.Errorf("%q is accepted", origin)
		}
	}
}
