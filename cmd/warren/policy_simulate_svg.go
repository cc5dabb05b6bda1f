package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/warren-rpc/warren/reliability/simulate"
)

// The plot: panels below each other on one axis of time, in pixels.
const (
	svgWidth  = 720
	svgLeft   = 56
	svgRight  = 12
	svgTop    = 46
	svgPanel  = 84
	svgGap    = 30
	svgValues = 240 // of a line, at most
)

// svgStyle has colours for light and for dark surroundings, since the file may
// be looked at by itself or in a page.
const svgStyle = `
text{font:12px system-ui,sans-serif;fill:#24292f}
.t{font-weight:600}.q{fill:#57606a}
.b{fill:#fff}.g{stroke:#d0d7de;stroke-width:1}.o{fill:#cf222e;fill-opacity:.12}
.a,.c,.s,.k,.u{fill:none;stroke-width:1.6;stroke-linejoin:round}
.a{stroke:#bc4c00}.c{stroke:#0969da}.s{stroke:#1a7f37}.k{stroke:#8250df}.u{stroke:#57606a}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.q{fill:#9198a1}
.b{fill:#0d1117}.g{stroke:#30363d}.o{fill:#ff7b72;fill-opacity:.18}
.a{stroke:#f0883e}.c{stroke:#58a6ff}.s{stroke:#3fb950}.k{stroke:#d2a8ff}.u{stroke:#9198a1}}
`

// svgLine is one line of a panel.
type svgLine struct {
	class, name string
	values      []float64
}

// simulationSVG draws a result. The file needs nothing else to be shown.
func simulationSVG(r *simulate.Result, s *simulate.Scenario) string {
	p := newSeries(r, s, svgValues)
	d := &svgDrawing{points: len(p.calls), seconds: p.seconds, from: p.outageFrom, to: p.outageTo}
	d.panel(0, figure, svgLine{"c", "calls per second", p.calls}, svgLine{"a", "attempts per second", p.attempts})
	d.panel(1, func(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) },
		svgLine{"s", "calls that end with success", p.succeeded})
	if p.anyOpen {
		d.panel(float64(s.Clients), figure, svgLine{"k", "clients whose breaker is open", p.open})
	}
	if p.anyQueued {
		d.panel(0, figure, svgLine{"u", "requests that wait for a server", p.queued})
	}
	return d.document(headline(r, s))
}

type svgDrawing struct {
	points, seconds int
	from, to        float64 // the outage, if to is above 0
	top             int     // of the next panel, less svgTop
	body            strings.Builder
}

func (d *svgDrawing) x(i float64) float64 {
	return svgLeft + i/float64(max(d.points, 1))*(svgWidth-svgLeft-svgRight)
}

// panel draws lines over a scale from 0 to most, or to what they need if most is
// 0.
func (d *svgDrawing) panel(most float64, label func(float64) string, lines ...svgLine) {
	if most == 0 {
		for _, l := range lines {
			most = max(most, slices.Max(l.values))
		}
		most = roundUp(most)
	}
	top := svgTop + d.top
	y := func(v float64) float64 { return float64(top+svgPanel) - v/most*svgPanel }
	if d.to > 0 {
		from, to := d.x(min(d.from, float64(d.points))), d.x(min(d.to, float64(d.points)))
		fmt.Fprintf(&d.body, `<rect class="o" x="%.1f" y="%d" width="%.1f" height="%d"/>`+"\n", from, top, to-from, svgPanel)
	}
	for _, v := range []float64{0, most / 2, most} {
		fmt.Fprintf(&d.body, `<path class="g" d="M%d %.1fH%d"/>`, svgLeft, y(v), svgWidth-svgRight)
		fmt.Fprintf(&d.body, `<text class="q" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", svgLeft-6, y(v)+4, label(v))
	}
	x := svgLeft
	for _, l := range lines {
		fmt.Fprintf(&d.body, `<path class="%s" d="M%d %dh16"/><text x="%d" y="%d">%s</text>`+"\n",
			l.class, x, top-9, x+21, top-5, l.name)
		x += 40 + 7*len(l.name)
		fmt.Fprintf(&d.body, `<path class="%s" d="%s"/>`+"\n", l.class, d.path(l.values, y))
	}
	d.top += svgPanel + svgGap
}

// path is a line through the middles of the values' times, with gaps where there
// is none.
func (d *svgDrawing) path(values []float64, y func(float64) float64) string {
	var b strings.Builder
	pen := "M"
	for i, v := range values {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", pen, d.x(float64(i)+0.5), y(v))
		pen = "L"
	}
	return b.String()
}

func (d *svgDrawing) document(title string) string {
	bottom := svgTop + d.top - svgGap
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n",
		svgWidth, bottom+26, svgWidth, bottom+26)
	fmt.Fprintf(&b, "<title>%s</title><style>%s</style>\n", escaped(title), svgStyle)
	fmt.Fprintf(&b, `<rect class="b" width="%d" height="%d"/><text class="t" x="12" y="18">%s</text>`+"\n",
		svgWidth, bottom+26, escaped(title))
	b.WriteString(d.body.String())
	total := d.points * d.seconds
	step := int(roundUp(float64(total) / 8))
	for at := 0; at <= total; at += max(step, 1) {
		fmt.Fprintf(&b, `<text class="q" x="%.1f" y="%d" text-anchor="middle">%d s</text>`+"\n",
			d.x(float64(at)/float64(d.seconds)), bottom+18, at)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// roundUp returns the next of 1, 2, 5, 10, 20, … that is not below x.
func roundUp(x float64) float64 {
	if x <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, n := range []float64{1, 2, 5, 10} {
		if n*unit >= x {
			return n * unit
		}
	}
	return 10 * unit
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes all
	return b.String()
}
