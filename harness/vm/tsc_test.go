package vm

import (
	"testing"
	"time"
)

func TestFrequency(t *testing.T) {
	at := func(after time.Duration, ticks uint64, width time.Duration) instant {
		return instant{time.Unix(0, 0).Add(after), ticks, width}
	}
	const us = time.Microsecond
	for name, c := range map[string]struct {
		a, b instant
		khz  int
		ok   bool
	}{
		"2.6 GHz":              {at(0, 1000, us), at(time.Second, 2_600_001_000, us), 2_600_000, true},
		"24 MHz":               {at(0, 0, us), at(100*time.Millisecond, 2_400_000, us), 24_000, true},
		"interrupted reads":    {at(0, 0, us), at(time.Second, 2_600_000_000, 2*time.Millisecond), 0, false},
		"the same instant":     {at(0, 7, 0), at(0, 8, 0), 0, false},
		"a counter that stops": {at(0, 7, us), at(time.Second, 7, us), 0, false},
		"a counter that is 0":  {at(0, 0, us), at(time.Second, 0, us), 0, false},
		"a counter goes back":  {at(0, 9, us), at(time.Second, 7, us), 0, false},
	} {
		if khz, ok := frequency(c.a, c.b); khz != c.khz || ok != c.ok {
			t.Errorf("%s: got %d, %v, want %d, %v", name, khz, ok, c.khz, c.ok)
		}
	}
}

// TestHostTSC: two measurements give the same frequency.
func TestHostTSC(t *testing.T) {
	khz := HostTSC()
	if !hasTSC || khz == 0 {
		t.Skipf("the counter's frequency is not known here: %d kHz", khz)
	}
	a := readInstant()
	time.Sleep(tscSpan)
	again, ok := frequency(a, readInstant())
	if ok && !sameTSC(khz, again) {
		t.Errorf("the counter runs at %d kHz, then at %d kHz", khz, again)
	}
}

func TestSameTSC(t *testing.T) {
	for _, c := range []struct {
		a, b int
		same bool
	}{
		{2_600_000, 2_600_500, true}, {2_600_000, 2_610_000, false}, {0, 0, true},
		{0, 2_600_000, false}, {2_600_000, 0, false},
	} {
		if got := sameTSC(c.a, c.b); got != c.same {
			t.Errorf("%d and %d kHz: got %v, want %v", c.a, c.b, got, c.same)
		}
	}
}
