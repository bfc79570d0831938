package process

import (
	"os"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	fields := " S 1 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3"
	for name, test := range map[string]struct {
		data string
		want procStat
	}{
		"plain":           {"17 (app)" + fields, procStat{group: 4242, started: "987654"}},
		"name with marks": {"17 (a) Z (b)" + fields, procStat{group: 4242, started: "987654"}},
		"stopped":         {"17 (app)" + strings.Replace(fields, "S", "T", 1), procStat{stopped: true, group: 4242, started: "987654"}},
		"zombie":          {"17 (app)" + strings.Replace(fields, "S", "Z", 1), procStat{dead: true, group: 4242, started: "987654"}},
	} {
		if got, err := parseStat([]byte(test.data)); err != nil || got != test.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, test.want)
		}
	}
	for _, data := range []string{"", "17", "17 (app) S 1", "17 (app)" + strings.Replace(fields, "4242", "x", 1)} {
		if got, err := parseStat([]byte(data)); err == nil {
			t.Errorf("%q was read as %+v", data, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("17 (app) S 1 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3"))
	f.Fuzz(func(t *testing.T, data []byte) {
		stat, err := parseStat(data)
		if err == nil && (stat.started == "" || strings.ContainsAny(stat.started, " \n")) {
			t.Fatalf("%q was read as %+v", data, stat)
		}
	})
}

func TestStartedTellsProcessesApart(t *testing.T) {
	t.Parallel()
	own, err := started(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	again, err := started(os.Getpid())
	if err != nil || again != own {
		t.Errorf("this process began at %q and at %q, %v", own, again, err)
	}
	if parent, err := started(os.Getppid()); err == nil && parent == own {
		t.Errorf("this process and its parent both began at %q", own)
	}
}
