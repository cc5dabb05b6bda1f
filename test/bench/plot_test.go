package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestThePlotHasALinePerVariantInEachPanel(t *testing.T) {
	t.Parallel()
	var all []summary
	names := Variants()
	for _, size := range []int{64, 65536} {
		for _, inflight := range []int{256, 1, 16} {
			for i, name := range names {
				all = append(all, summary{
					Variant:   name,
					workload:  workload{Size: size, Inflight: inflight},
					CallsPerS: float64(1000*i + inflight),
				})
			}
		}
	}
	wantPlot(t, plot(all), names, 2, 3)
	// A single value across, and no calls at all.
	wantPlot(t, plot([]summary{{Variant: "raw-best", workload: workload{Inflight: 1}}}), []string{"raw-best"}, 1, 1)
}

// wantPlot checks that an SVG is well-formed and has, for each variant, as many
// lines as there are panels, with so many points each, none of them outside.
func wantPlot(t *testing.T, svg string, variants []string, panels, points int) {
	t.Helper()
	lines, circles := make(map[string]int), make(map[string]int)
	var of string
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch attribute := attributes(start); start.Name.Local {
		case "g":
			of = attribute["data-variant"]
			lines[of]++
		case "circle":
			circles[of]++
		}
	}
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("numbers that are none in\n%s", svg)
	}
	for _, name := range variants {
		if lines[name] != panels || circles[name] != panels*points {
			t.Errorf("%s: %d lines with %d points, want %d with %d each", name, lines[name], circles[name], panels, points)
		}
	}
	if len(lines) != len(variants) {
		t.Errorf("lines of %v, want those of %v", lines, variants)
	}
}

func attributes(e xml.StartElement) map[string]string {
	all := make(map[string]string)
	for _, a := range e.Attr {
		all[a.Name.Local] = a.Value
	}
	return all
}
