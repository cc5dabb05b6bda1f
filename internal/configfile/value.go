package configfile

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/internal/setting"
)

// read returns what a node says, of the type that the field's kind has, or what is
// wrong with it, and with which part of it: nil is the whole.
func read(f *setting.Field, node *yaml.Node) (value any, where *yaml.Node, wrong string) {
	node = Resolve(node)
	if f.Kind == setting.List {
		return list(f, node)
	}
	value, wrong = scalar(f, node)
	if wrong == "" && f.Above && f.Max == 0 && (value == 0 || value == 0.0 || value == time.Duration(0)) {
		wrong = "is 0; leave it out for the default"
	}
	return value, nil, wrong
}

func scalar(f *setting.Field, node *yaml.Node) (value any, wrong string) {
	refused := "is " + Describe(node) + "; write " + setting.Wanted[f.Kind]
	if node.Kind != yaml.ScalarNode || IsNull(node) {
		return nil, refused
	}
	switch f.Kind {
	case setting.Duration:
		d, err := setting.ParseDuration(node.Value)
		if err != nil {
			return nil, err.Error()
		}
		return d, ""
	case setting.Count, setting.Number:
		return number(f, node, refused)
	case setting.Bool, setting.Switch:
		return boolean(f, node, refused)
	case setting.Size:
		if n, ok := size(node.Value); ok && (node.ShortTag() == "!!int" || node.ShortTag() == "!!str") {
			return n, ""
		}
	default:
		if text, ok := Text(node); ok {
			return text, ""
		}
	}
	return nil, refused
}

func number(f *setting.Field, node *yaml.Node, refused string) (value any, wrong string) {
	if tag := node.ShortTag(); tag != "!!int" && tag != "!!float" {
		if _, err := strconv.ParseFloat(node.Value, 64); err == nil {
			refused += ", without quotes"
		}
		return nil, refused
	}
	var v float64
	if node.Decode(&v) != nil {
		return nil, refused
	}
	if f.Kind == setting.Number {
		return v, ""
	}
	switch whole := v == math.Trunc(v) && math.Abs(v) <= math.MaxInt32; {
	case whole && (v >= 0 || f.Max > 0):
		return int(v), ""
	case f.Max > 0:
		return nil, "is " + Clip(node.Value) + "; it must be a whole number, " + f.Bounds()
	default:
		return nil, refused
	}
}

func boolean(f *setting.Field, node *yaml.Node, refused string) (value any, wrong string) {
	var v bool
	if node.ShortTag() == "!!bool" && node.Decode(&v) == nil {
		return v, "" // other parsers, and what writes files anew, take off for false
	}
	if f.Kind == setting.Switch {
		if node.Value == "on" || node.Value == "off" {
			return node.Value == "on", ""
		}
		return nil, "is " + strconv.Quote(Clip(node.Value)) + "; write on or off"
	}
	if node.Value == "true" || node.Value == "false" {
		refused += ", without quotes"
	}
	return nil, refused
}

// Text returns what a node says as a text. It takes numbers too: "2" is a version,
// and 5 the name of a schema.
func Text(node *yaml.Node) (string, bool) {
	tag := node.ShortTag()
	return node.Value, node.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!int" || tag == "!!float") && node.Value != ""
}

func list(f *setting.Field, node *yaml.Node) (value any, where *yaml.Node, wrong string) {
	if node.Kind != yaml.SequenceNode {
		if f.Values != nil {
			return nil, nil, "is " + Describe(node) + "; it must be a list of " + f.Of + "s"
		}
		return nil, nil, "is " + Describe(node) + "; write " + setting.Wanted[f.Kind]
	}
	if f.Values != nil && len(node.Content) > len(f.Values) {
		return nil, nil, fmt.Sprintf("is a list of %d; there are %d %ss", len(node.Content), len(f.Values), f.Of)
	}
	texts := make([]string, 0, len(node.Content))
	for _, item := range node.Content {
		name := Resolve(item)
		text, ok := Text(name)
		switch {
		case f.Values != nil && !slices.Contains(f.Values, text):
			return nil, item, "has " + Describe(name) + ", which is not the name of a " + f.Of + near(name.Value, f.Values)
		case !ok:
			return nil, nil, "is " + Describe(node) + "; write " + setting.Wanted[f.Kind]
		}
		texts = append(texts, text)
	}
	return texts, nil, ""
}

var units = []struct {
	suffix string
	bytes  int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"B", 1}, {"", 1}}

// size reads bytes. What is too much for any bound is refused here, so that it cannot
// overflow.
func size(s string) (int, bool) {
	for _, u := range units {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.Atoi(digits)
			return n * u.bytes, err == nil && n >= 0 && n <= math.MaxInt32/u.bytes && digits[0] != '+'
		}
	}
	return 0, false
}
