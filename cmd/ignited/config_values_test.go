package main

import (
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1023": 1023, "1KiB": 1 << 10, "64MiB": 64 << 20, "64 mib": 64 << 20, "2GiB": 2 << 30, "7TiB": 7 << 40,
		"9223372036854775807": 1<<63 - 1,
	} {
		var got bytesValue
		if err := got.Set(text); err != nil || int64(got) != want {
			t.Errorf("%s: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5GiB", "64MB", "64M", "1KiBKiB", "1 2", "9223372036854775808", "9007199254740992KiB", "0x10", "1e6"} {
		value := bytesValue(42)
		if err := value.Set(text); err == nil || value != 42 {
			t.Errorf("%q: got %d, %v", text, value, err)
		}
	}
}

// FuzzBytes checks that a size that was read is written so that it reads the same.
func FuzzBytes(f *testing.F) {
	for _, text := range []string{"0", "64MiB", "1023", "7 TiB", "-1", "9223372036854775807"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var value, again bytesValue
		if value.Set(text) != nil {
			return
		}
		if err := again.Set(value.String()); err != nil || again != value {
			t.Errorf("%q is %d, written %s, read %d, %v", text, value, value.String(), again, err)
		}
	})
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration][2]string{
		72 * time.Hour:             {"72h", "259200"},
		90 * time.Minute:           {"1h30m", "5400"},
		10 * time.Minute:           {"10m", "600"},
		10 * time.Second:           {"10s", "10"},
		time.Hour + 10*time.Second: {"1h0m10s", "3610"},
		1500 * time.Millisecond:    {"1.5s", "1.5s"},
		0:                          {"0s", "0"},
	} {
		duration, seconds := durationValue(d), secondsValue(d)
		if duration.String() != want[0] || seconds.String() != want[1] {
			t.Errorf("%s: written %s and %s, want %s", d, duration.String(), seconds.String(), want)
		}
		var again durationValue
		var secondsAgain secondsValue
		if err := again.Set(want[0]); err != nil || again != duration {
			t.Errorf("%s read as %v, %v", want[0], again, err)
		}
		if err := secondsAgain.Set(want[1]); err != nil || secondsAgain != seconds {
			t.Errorf("%s read as %v, %v", want[1], secondsAgain, err)
		}
	}
	var seconds secondsValue
	for _, text := range []string{"", "soon", "9223372036854775807", "10 m"} {
		if err := seconds.Set(text); err == nil {
			t.Errorf("%q read as %v", text, seconds)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "a": "a", " a , b,": "a,b", ",,": ""} {
		var list listValue
		if err := list.Set(text); err != nil || list.String() != want {
			t.Errorf("%q: got %q, %v", text, list, err)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	known := []string{"data_dir", "drain_secs", "sync"}
	for written, want := range map[string]string{
		"data_dir": "; did you mean data_dir?", "datadir": "; did you mean data_dir?", "drain_sec": "; did you mean drain_secs?",
		"snyc": "; did you mean sync?", "colour_of_it": "",
	} {
		if got := didYouMean(written, known); got != want {
			t.Errorf("%s: got %q, want %q", written, got, want)
		}
	}
}
