package engine

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]struct {
		after time.Duration
		said  bool
	}{
		"120":                            {2 * time.Minute, true},
		" 0 ":                            {0, true},
		"99999999999":                    {longestPause, true},
		"99999999999999999999999":        {longestPause, true},
		"Sun, 01 Mar 2026 12:01:30 GMT":  {90 * time.Second, true},
		"Sunday, 01-Mar-26 12:01:30 GMT": {90 * time.Second, true},
		"Sun Mar  1 12:01:30 2026":       {90 * time.Second, true},
		"Sun, 01 Mar 2026 11:00:00 GMT":  {0, true},
		"":                               {},
		"-5":                             {},
		"1.5":                            {},
		"soon":                           {},
	} {
		after, said := retryAfter(header, now)
		if after != want.after || said != want.said {
			t.Errorf("%q is %v, %v; want %v, %v", header, after, said, want.after, want.said)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{"0", "120", "18446744073709551615", "Sun, 01 Mar 2026 12:01:30 GMT", "x"} {
		f.Add(header)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		after, said := retryAfter(header, now)
		if after < 0 || after > longestPause || !said && after != 0 {
			t.Fatalf("%q is %v, %v", header, after, said)
		}
		if !said || after%time.Second != 0 || after == longestPause {
			return
		}
		date := now.Add(after).Format(http.TimeFormat)
		if again, _ := retryAfter(date, now); again != after {
			t.Errorf("%q is %v, but as date %q it is %v", header, after, date, again)
		}
	})
}
