package pgstore

import (
	"slices"
	"testing"
	"time"
)

func TestOwnersAreDeadWhoseLocksStayFree(t *testing.T) {
	t.Parallel()
	type look struct {
		at   int // milliseconds
		free []attendance
		dead []attendance
	}
	one, two, again := []attendance{{owner: 1}}, []attendance{{owner: 1}, {owner: 2}}, []attendance{{owner: 1, opened: 1}}
	for name, looks := range map[string][]look{
		"free for long enough":      {{0, nil, nil}, {1000, one, nil}, {1250, one, nil}, {1500, two, nil}, {1600, two, one}, {2100, two, two}},
		"taken again":               {{0, nil, nil}, {1000, one, nil}, {1500, nil, nil}, {1700, one, nil}, {2200, one, nil}, {2300, one, one}},
		"taken again unseen":        {{0, nil, nil}, {1000, one, nil}, {1500, again, nil}, {2000, again, nil}, {2100, again, again}},
		"within the grace":          {{0, one, nil}, {900, one, nil}, {1100, two, one}, {1600, two, one}, {1700, two, two}},
		"looks too far apart":       {{0, nil, nil}, {900, nil, nil}, {1800, one, nil}, {2900, one, nil}, {3400, one, nil}, {3500, one, one}},
		"gone, and there again":     {{0, nil, nil}, {1000, one, nil}, {1600, one, one}, {1850, nil, nil}, {2100, one, nil}, {2600, one, nil}},
		"dead until somebody tells": {{0, nil, nil}, {1000, one, nil}, {1600, one, one}, {1850, one, one}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, start := newDeaths(graceAtFirst), time.Now()
			for _, l := range looks {
				if dead := d.after(start.Add(time.Duration(l.at)*time.Millisecond), l.free); !slices.Equal(dead, l.dead) {
					t.Errorf("after %d ms, free %v: dead %v, want %v", l.at, l.free, dead, l.dead)
				}
			}
		})
	}
}
