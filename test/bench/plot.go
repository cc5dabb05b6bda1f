package bench

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The plot: panels below each other, each with a line per variant, in pixels. The
// names stand right of the panel.
const (
	plotWidth  = 760
	plotLeft   = 64
	plotRight  = 200
	plotTop    = 40 // of a panel, for its title
	plotHeight = 240
	plotBottom = 44 // of a panel, for its axis
	plotRow    = 18 // between names
)

// plotStyle has colours for light and for dark surroundings. Variants beyond the
// colours take them again; their points have names.
const plotStyle = `
text{font:12px system-ui,sans-serif;fill:#24292f}
.t{font-weight:600}.q{fill:#57606a}
.b{fill:#fff}.g{stroke:#d0d7de;stroke-width:1}
.l{fill:none;stroke-width:1.8;stroke-linejoin:round}.d{stroke-dasharray:5 3}
.c0{color:#0969da}.c1{color:#bc4c00}.c2{color:#1a7f37}.c3{color:#8250df}.c4{color:#bf3989}.c5{color:#57606a}
.l{stroke:currentColor}.p{fill:currentColor}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.q{fill:#9198a1}
.b{fill:#0d1117}.g{stroke:#30363d}
.c0{color:#58a6ff}.c1{color:#f0883e}.c2{color:#3fb950}.c3{color:#d2a8ff}.c4{color:#f778ba}.c5{color:#9198a1}}
`

const plotColours = 6

// plot draws all that a run found. The file needs nothing else to be shown.
func plot(all []summary) string {
	var body strings.Builder
	panels := plotPanels(all)
	names := variantsOf(all)
	height := 0
	for _, p := range panels {
		p.draw(&body, height, names)
		height += plotTop + max(plotHeight, plotRow*len(names)) + plotBottom
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n",
		plotWidth, height, plotWidth, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<style>%s</style>\n", escaped("warren bench"), plotStyle)
	fmt.Fprintf(&b, `<rect class="b" width="%d" height="%d"/>`+"\n%s</svg>\n", plotWidth, height, &body)
	return b.String()
}

// plotPanel is a figure over one that was varied.
type plotPanel struct {
	title, across string
	points        []plotPoint
}

type plotPoint struct {
	variant string
	x, y    float64
}

func plotPanels(all []summary) []*plotPanel {
	var panels []*plotPanel
	of := make(map[string]*plotPanel)
	for _, s := range all {
		title := fmt.Sprintf("calls per second, %d bytes", s.Size)
		across := "calls in flight"
		point := plotPoint{s.Variant, float64(s.Inflight), s.CallsPerS}
		if s.Rate > 0 {
			title = fmt.Sprintf("p99 of the latency in µs, %d bytes, at most %d in flight", s.Size, s.Inflight)
			across = "calls per second that are due"
			point.x, point.y = float64(s.Rate), s.P99us
		}
		p := of[title]
		if p == nil {
			p = &plotPanel{title: title, across: across}
			of[title] = p
			panels = append(panels, p)
		}
		p.points = append(p.points, point)
	}
	for _, p := range panels {
		slices.SortStableFunc(p.points, func(a, b plotPoint) int { return cmp.Compare(a.x, b.x) })
	}
	return panels
}

func variantsOf(all []summary) []string {
	var names []string
	for _, s := range all {
		names = append(names, s.Variant)
	}
	return unique(names)
}

// draw draws the panel below what is above it. The axis across is logarithmic, the
// other begins at 0.
func (p *plotPanel) draw(b *strings.Builder, above int, names []string) {
	top := float64(above + plotTop)
	fmt.Fprintf(b, `<text class="t" x="%d" y="%.0f">%s</text>`+"\n", plotLeft, top-14, escaped(p.title))

	var values []float64
	most := 0.0
	for _, point := range p.points {
		values = append(values, point.x)
		most = max(most, point.y)
	}
	most = roundUp(most)
	slices.Sort(values)
	values = slices.Compact(values)

	const width = plotWidth - plotLeft - plotRight
	y := func(v float64) float64 { return top + plotHeight*(1-v/most) }
	x := func(v float64) float64 {
		first, last := values[0], values[len(values)-1]
		if first == last {
			return plotLeft + width/2
		}
		return plotLeft + width*math.Log(v/first)/math.Log(last/first)
	}
	for _, v := range []float64{0, most / 4, most / 2, most * 3 / 4, most} {
		fmt.Fprintf(b, `<path class="g" d="M%d %.1fh%d"/>`, plotLeft, y(v), width)
		fmt.Fprintf(b, `<text class="q" x="%d" y="%.1f" text-anchor="end">%.6g</text>`+"\n", plotLeft-8, y(v)+4, v)
	}
	for _, v := range values {
		fmt.Fprintf(b, `<text class="q" x="%.1f" y="%.1f" text-anchor="middle">%.0f</text>`+"\n", x(v), y(0)+18, v)
	}
	fmt.Fprintf(b, `<text class="q" x="%d" y="%.1f" text-anchor="middle">%s</text>`+"\n", plotLeft+width/2, y(0)+34, p.across)

	for i, name := range names {
		line, points := p.series(name, x, y)
		if line == "" {
			continue
		}
		class := "l"
		if v, _ := lookUp(name, nil); v.quorum {
			class = "l d"
		}
		left, row := float64(plotWidth-plotRight+16), top+float64(plotRow*i)
		fmt.Fprintf(b, `<g class="c%d" data-variant="%s"><path class="%s" d="%s"/>%s`, i%plotColours, escaped(name), class, line, points)
		fmt.Fprintf(b, `<path class="%s" d="M%.0f %.0fh20"/><text x="%.0f" y="%.0f">%s</text></g>`+"\n",
			class, left, row, left+26, row+4, escaped(name))
	}
}

// series returns a variant's line, and its points, which tell their figures.
func (p *plotPanel) series(name string, x, y func(float64) float64) (line, points string) {
	var l, c strings.Builder
	for _, point := range p.points {
		if point.variant != name {
			continue
		}
		pen := "L"
		if l.Len() == 0 {
			pen = "M"
		}
		fmt.Fprintf(&l, "%s%.1f %.1f", pen, x(point.x), y(point.y))
		fmt.Fprintf(&c, `<circle class="p" cx="%.1f" cy="%.1f" r="3"><title>%s: %.0f at %.0f</title></circle>`,
			x(point.x), y(point.y), escaped(name), point.y, point.x)
	}
	return l.String(), c.String()
}

// roundUp returns the next number, from 1 on, that has one digit and zeros.
func roundUp(v float64) float64 {
	if v <= 1 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	return math.Ceil(v/unit) * unit
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes all
	return b.String()
}
