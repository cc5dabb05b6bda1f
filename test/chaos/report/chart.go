package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/warren-rpc/warren/test/chaos/check"
)

// The page's charts stand below each other and share the axis of time. All figures
// are in the units of their viewBox, which is as wide as a page is.
const (
	chartWidth = 960.0
	left       = 110.0 // of the plots
	right      = chartWidth - 14
	laneHeight = 18.0
	plotHeight = 150.0
	maxLanes   = 16
	// maxBins is how many parts of the run are told apart: two units each.
	maxBins = 440
)

// box is a rectangle with what it says when it is pointed at.
type box struct {
	X, Y, W, H float64
	Class      string
	Title      string
}

// tick is a line of a grid, with its text.
type tick struct {
	At   float64
	Text string
}

type lane struct {
	Name  string
	Y     float64 // of its text
	Boxes []box
}

// chart is one plot with its grid.
type chart struct {
	Width, Height      float64
	Left, Right        float64
	Top, Bottom        float64 // of the plot
	Times, Values      []tick
	Lanes              []lane
	Boxes              []box
	P50, P99           []string // points of lines; where no call ended, a line ends
	TimesY             float64  // of the text of Times
	PerBin, HiddenName string
}

// axis places times.
type axis struct{ total time.Duration }

func (a axis) x(at time.Duration) float64 {
	at = min(max(at, 0), a.total)
	return left + float64(at)/float64(a.total)*(right-left)
}

// steps are what the lines of a grid of times may be apart.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
	5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour,
}

func (a axis) ticks() (ticks []tick) {
	step := steps[len(steps)-1]
	if i := slices.IndexFunc(steps, func(s time.Duration) bool { return a.total/s <= 12 }); i >= 0 {
		step = steps[i]
	}
	for at := time.Duration(0); at <= a.total; at += step {
		text := at.String()
		for _, zero := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(text, zero) {
				text = text[:len(text)-2]
			}
		}
		ticks = append(ticks, tick{a.x(at), text})
	}
	return ticks
}

func newChart(a axis, height float64) chart {
	return chart{
		Width: chartWidth, Height: height + 30, Left: left, Right: right, Top: 8, Bottom: 8 + height,
		Times: a.ticks(), TimesY: height + 24,
	}
}

// faultChart has a lane for each name of a fault.
func faultChart(a axis, spans []check.Span) chart {
	var names []string
	for _, s := range spans {
		if !slices.Contains(names, s.Fault.Name) {
			names = append(names, s.Fault.Name)
		}
	}
	slices.Sort(names)
	shown := names[:min(len(names), maxLanes)]
	c := newChart(a, laneHeight*float64(max(len(shown), 1)))
	for i, name := range shown {
		y := c.Top + laneHeight*float64(i)
		l := lane{Name: name, Y: y + 13}
		for _, s := range spans {
			if s.Fault.Name != name {
				continue
			}
			x, end := a.x(s.From), a.x(s.To)
			w := max(end-x, 2) // so that what takes no time is seen
			title := fmt.Sprintf("%s %s %s, %v to %v", name, s.Fault.Target, s.Fault.Detail, round(s.From), round(s.To))
			if s.Open {
				title += " (no end)"
			}
			l.Boxes = append(l.Boxes, box{X: min(x, right-w), Y: y + 3, W: w, H: laneHeight - 6, Class: "fault", Title: title})
		}
		c.Lanes = append(c.Lanes, l)
	}
	if len(names) > len(shown) {
		c.HiddenName = fmt.Sprintf("and %d more: %s", len(names)-len(shown), strings.Join(names[len(shown):], ", "))
	}
	return c
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// bins joins seconds so that there are no more than maxBins. Outcomes are added; of
// the percentiles the worst second's stands for all.
func bins(seconds []check.Second) (joined []check.Second, each int) {
	each = max((len(seconds)+maxBins-1)/maxBins, 1)
	for chunk := range slices.Chunk(seconds, each) {
		var sum check.Second
		for _, s := range chunk {
			sum.Succeeded += s.Succeeded
			sum.NotExecuted += s.NotExecuted
			sum.Executed += s.Executed
			sum.Unknown += s.Unknown
			sum.P50, sum.P99 = max(sum.P50, s.P50), max(sum.P99, s.P99)
		}
		joined = append(joined, sum)
	}
	return joined, each
}

// binAt is the time of one bin.
func binAt(a axis, i, each int) (x, w float64) {
	from := time.Duration(i*each) * time.Second
	x = a.x(from)
	return x, a.x(from+time.Duration(each)*time.Second) - x
}

// outcomeChart has a bar for each bin, in which the outcomes stand on each other.
func outcomeChart(a axis, seconds []check.Second) chart {
	c := newChart(a, plotHeight)
	joined, each := bins(seconds)
	top := 1.0
	for _, s := range joined {
		top = max(top, float64(s.Ended())/float64(each))
	}
	top, c.Values = c.linear(top)
	for i, s := range joined {
		x, w := binAt(a, i, each)
		y := c.Bottom
		for _, part := range []struct {
			class, name string
			n           int
		}{
			{"succeeded", "succeeded", s.Succeeded}, {"notexecuted", "not executed", s.NotExecuted},
			{"executed", "executed, failed", s.Executed}, {"unknown", "unknown", s.Unknown},
		} {
			if part.n == 0 {
				continue
			}
			h := float64(part.n) / float64(each) / top * (c.Bottom - c.Top)
			y -= h
			title := fmt.Sprintf("%v: %d %s", time.Duration(i*each)*time.Second, part.n, part.name)
			c.Boxes = append(c.Boxes, box{X: x, Y: y, W: w, H: h, Class: part.class, Title: title})
		}
	}
	c.PerBin = perBin(each)
	return c
}

func perBin(each int) string {
	if each == 1 {
		return ""
	}
	return fmt.Sprintf("%d seconds are one", each)
}

// linear returns a round figure that is not below top, and the grid up to it.
func (c *chart) linear(top float64) (rounded float64, ticks []tick) {
	unit := math.Pow(10, math.Floor(math.Log10(top)))
	rounded = unit * 10
	for _, f := range []float64{1, 2, 5} {
		if unit*f >= top {
			rounded = unit * f
			break
		}
	}
	for i := range 5 {
		share := float64(i) / 4
		ticks = append(ticks, tick{c.Bottom - share*(c.Bottom-c.Top), fmt.Sprintf("%.4g", rounded*share)})
	}
	return rounded, ticks
}

// latencyChart has lines of the 50th and 99th percentile, on a logarithmic scale.
func latencyChart(a axis, seconds []check.Second) chart {
	c := newChart(a, plotHeight)
	joined, each := bins(seconds)
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range joined {
		if s.Ended() > 0 {
			low, high = min(low, decades(s.P50)), max(high, decades(s.P99))
		}
	}
	if low > high {
		low, high = 3, 4 // nothing ended
	}
	low, high = math.Floor(low), max(math.Ceil(high), math.Floor(low)+1)
	y := func(d float64) float64 { return c.Bottom - (d-low)/(high-low)*(c.Bottom-c.Top) }
	for d := low; d <= high; d++ {
		c.Values = append(c.Values, tick{y(d), time.Duration(math.Pow(10, d) * float64(time.Microsecond)).String()})
	}
	var p50, p99 []string
	flush := func() {
		if len(p50) > 0 {
			c.P50, c.P99 = append(c.P50, strings.Join(p50, " ")), append(c.P99, strings.Join(p99, " "))
		}
		p50, p99 = nil, nil
	}
	for i, s := range joined {
		if s.Ended() == 0 {
			flush()
			continue
		}
		// Each bin is a level stretch: one that stands alone is seen.
		x, w := binAt(a, i, each)
		for _, at := range []float64{x, x + w} {
			p50 = append(p50, fmt.Sprintf("%.2f,%.2f", at, y(decades(s.P50))))
			p99 = append(p99, fmt.Sprintf("%.2f,%.2f", at, y(decades(s.P99))))
		}
	}
	flush()
	c.PerBin = perBin(each)
	return c
}

// decades is the logarithm of d in microseconds; what is shorter counts as one.
func decades(d time.Duration) float64 {
	return math.Log10(max(float64(d)/float64(time.Microsecond), 1))
}
