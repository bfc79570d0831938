package fault

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Sample is what a server takes at one moment.
type Sample struct {
	// At is counted from the begin of the soak.
	At                             time.Duration
	RSS, Heap, Disk, Routines, FDs float64
}

// figure is one column of samples.
type figure struct {
	name string
	unit float64
	of   func(Sample) float64
	// slack is by how much it may grow in any case: a small figure doubles by chance.
	slack float64
}

const mebi = 1 << 20

var figures = []figure{
	{"memory (MiB)", mebi, func(s Sample) float64 { return s.RSS }, 48 * mebi},
	{"heap (MiB)", mebi, func(s Sample) float64 { return s.Heap }, 48 * mebi},
	{"disk (MiB)", mebi, func(s Sample) float64 { return s.Disk }, 96 * mebi},
	{"goroutines", 1, func(s Sample) float64 { return s.Routines }, 60},
	{"file descriptors", 1, func(s Sample) float64 { return s.FDs }, 30},
}

// growth is by how much a figure may be higher in the last third than in the first one, beside its slack.
const growth = 1.3

// judgeSoak holds the last third of the samples since steady against the first third, by their medians, and answers a table and what grew.
// Before steady, figures grow: nothing has expired yet.
func judgeSoak(samples []Sample, steady time.Duration) (table string, faults []error) {
	from, _ := slices.BinarySearchFunc(samples, steady, func(s Sample, at time.Duration) int { return cmp.Compare(s.At, at) })
	rest := samples[from:]
	if len(rest) < 6 {
		return "", []error{fmt.Errorf("%d samples after %v are too few to judge: let the soak last longer", len(rest), steady)}
	}
	first, last := rest[:len(rest)/3], rest[len(rest)-len(rest)/3:]
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 3, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(out, "\tat the start\tfirst third, steady\tlast third\tat the end\t")
	for _, f := range figures {
		before, after := median(first, f.of), median(last, f.of)
		_, _ = fmt.Fprintf(out, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t\n", f.name,
			f.of(samples[0])/f.unit, before/f.unit, after/f.unit, f.of(samples[len(samples)-1])/f.unit)
		if after > before*growth+f.slack {
			faults = append(faults, fmt.Errorf("%s grew from %.0f to %.0f", f.name, before/f.unit, after/f.unit))
		}
	}
	_ = out.Flush()
	return text.String(), faults
}

func median(samples []Sample, of func(Sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
