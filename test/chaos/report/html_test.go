package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
)

func rendered(t *testing.T, run Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, run); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageLoadsNothingAndShowsTextAsText(t *testing.T) {
	t.Parallel()
	run := sample(t, 60)
	run.Report.Visualisations = []string{"/x/register-k.html"}
	text := rendered(t, run)
	if path := os.Getenv("WARREN_CHAOS_PAGE"); path != "" { // to be looked at
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(text, "<script") || strings.Contains(text, "ZgotmplZ") {
		t.Error("what the history holds has become markup")
	}
	if found := regexp.MustCompile(`(?i)\b(src|href|url|@import)\s*[=(]`).FindString(regexp.MustCompile(`&lt;.*?&gt;`).ReplaceAllString(text, "")); found != "" {
		t.Errorf("it refers to something: %s", found)
	}
	for _, part := range []string{
		`class="badge broken"`, "success_has_effect", "it has 0 effects", "kill-server", "register-k.html", "median", "&lt;script",
		"at-least-once", "2026-09-21 14:13:20 UTC",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the page has no %q", part)
		}
	}
}

// drawing is what one svg of a page consists of.
type drawing struct {
	width, height float64
	rects         []box
	lines         []string // points
}

// drawings reads the page's charts strictly.
func drawings(t *testing.T, text string) map[string]drawing {
	t.Helper()
	found := map[string]drawing{}
	for _, part := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text, -1) {
		d, id := drawing{}, ""
		in := xml.NewDecoder(strings.NewReader(part))
		for {
			token, err := in.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			element, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			attr := map[string]string{}
			for _, a := range element.Attr {
				attr[a.Name.Local] = a.Value
			}
			number := func(s string) float64 {
				f, err := strconv.ParseFloat(s, 64)
				if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
					t.Fatalf("%s: %q is not a number", element.Name.Local, s)
				}
				return f
			}
			switch element.Name.Local {
			case "svg":
				view := strings.Fields(attr["viewBox"])
				id, d.width, d.height = attr["id"], number(view[2]), number(view[3])
			case "rect":
				d.rects = append(d.rects, box{
					X: number(attr["x"]), Y: number(attr["y"]), W: number(attr["width"]), H: number(attr["height"]), Class: attr["class"],
				})
			case "polyline":
				d.lines = append(d.lines, attr["points"])
			case "line":
				for _, name := range []string{"x1", "x2", "y1", "y2"} {
					number(attr[name])
				}
			}
		}
		found[id] = d
	}
	return found
}

// inside reports whether the point is in the drawing, to half a unit.
func (d drawing) inside(x, y float64) bool {
	return x >= left-0.5 && x <= right+0.5 && y >= -0.5 && y <= d.height+0.5
}

func TestChartsAreDrawnInsideTheirPlots(t *testing.T) {
	t.Parallel()
	for _, seconds := range []int{1, 2, 60, 900} {
		found := drawings(t, rendered(t, sample(t, seconds)))
		if len(found) != 3 {
			t.Fatalf("%d charts", len(found))
		}
		for id, d := range found {
			for _, r := range d.rects {
				if !d.inside(r.X, r.Y) || !d.inside(r.X+r.W, r.Y+r.H) || r.W <= 0 || r.H < 0 {
					t.Fatalf("%d s: %s: %+v is outside of %v × %v", seconds, id, r, d.width, d.height)
				}
			}
			for _, points := range d.lines {
				for point := range strings.FieldsSeq(points) {
					xText, yText, _ := strings.Cut(point, ",")
					x, errX := strconv.ParseFloat(xText, 64)
					y, errY := strconv.ParseFloat(yText, 64)
					if errX != nil || errY != nil || !d.inside(x, y) {
						t.Fatalf("%d s: %s: %s is outside", seconds, id, point)
					}
				}
			}
		}
		if len(found["faults"].rects) == 0 || len(found["outcomes"].rects) == 0 || len(found["latency"].lines) != 2 {
			t.Errorf("%d s: a chart is empty", seconds)
		}
		if n := len(found["outcomes"].rects); n > 4*maxBins+8 {
			t.Errorf("%d s: %d bars", seconds, n)
		}
	}
}

func TestBarsStandOnEachOtherAndAreAsHighAsTheyCount(t *testing.T) {
	t.Parallel()
	seconds := []check.Second{
		{Succeeded: 10, NotExecuted: 5, Executed: 3, Unknown: 2}, {}, {Succeeded: 5, P50: time.Millisecond, P99: time.Second},
	}
	a := axis{3 * time.Second}
	c := outcomeChart(a, seconds)
	scale := (c.Bottom - c.Top) / 20 // the largest second fills the plot
	y := c.Bottom
	for i, n := range []float64{10, 5, 3, 2} {
		b := c.Boxes[i]
		y -= n * scale
		if math.Abs(b.H-n*scale) > 1e-9 || math.Abs(b.Y-y) > 1e-9 || b.X != left {
			t.Errorf("%d: %+v", i, b)
		}
	}
	last := c.Boxes[4]
	if len(c.Boxes) != 5 || math.Abs(last.X-a.x(2*time.Second)) > 1e-9 || math.Abs(last.X+last.W-right) > 1e-9 {
		t.Errorf("%+v", c.Boxes)
	}
	l := latencyChart(a, seconds)
	if len(l.P50) != 2 || len(l.P99) != 2 {
		t.Errorf("the lines do not end where nothing did: %q", l.P50)
	}
}

func TestFaultsStandWhereTheyWere(t *testing.T) {
	t.Parallel()
	a := axis{100 * time.Second}
	spans := []check.Span{
		{Fault: history.Fault{Name: "b"}, From: 10 * time.Second, To: 20 * time.Second},
		{Fault: history.Fault{Name: "a"}, From: 100 * time.Second, To: 100 * time.Second},
		{Fault: history.Fault{Name: "b"}, From: 50 * time.Second, To: 100 * time.Second, Open: true},
	}
	c := faultChart(a, spans)
	if len(c.Lanes) != 2 || c.Lanes[0].Name != "a" || len(c.Lanes[1].Boxes) != 2 {
		t.Fatalf("%+v", c.Lanes)
	}
	if b := c.Lanes[0].Boxes[0]; b.W != 2 || b.X != right-2 {
		t.Errorf("an instant at the end: %+v", b)
	}
	if b := c.Lanes[1].Boxes[0]; math.Abs(b.W-(right-left)/10) > 1e-9 || math.Abs(b.X-a.x(10*time.Second)) > 1e-9 {
		t.Errorf("%+v", b)
	}
	if b := c.Lanes[1].Boxes[1]; !strings.Contains(b.Title, "no end") {
		t.Errorf("%+v", b)
	}
	for i := range 30 {
		spans = append(spans, check.Span{Fault: history.Fault{Name: "z" + strconv.Itoa(i)}})
	}
	if c := faultChart(a, spans); len(c.Lanes) != maxLanes || !strings.Contains(c.HiddenName, "16 more") {
		t.Errorf("%d lanes, %s", len(c.Lanes), c.HiddenName)
	}
}

func TestRunWithoutAnythingHasAPage(t *testing.T) {
	t.Parallel()
	if found := drawings(t, rendered(t, Run{Report: &check.Report{}})); len(found) != 3 {
		t.Errorf("%d charts", len(found))
	}
}
