package configfile

import (
	"encoding/json"
	"strings"

	"github.com/warren-rpc/warren/internal/setting"
)

// Object is one of JSON.
type Object = map[string]any

// Schema returns a JSON Schema (draft 2020-12), with the definition of durations that
// [Properties] refers to, and with those of defs.
func Schema(id, title, description, required string, properties, defs Object) []byte {
	properties["$schema"] = Object{"type": "string"}
	defs["duration"] = Object{"type": "string", "pattern": setting.DurationPattern, "examples": []string{"250ms", "1.5s"}}
	text, err := json.MarshalIndent(Object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": id, "title": title, "description": description,
		"type": "object", "required": []string{required}, "additionalProperties": false, "properties": properties, "$defs": defs,
	}, "", "  ")
	if err != nil {
		panic(err) // it is made of maps, slices, texts and numbers
	}
	return append(text, '\n')
}

// Properties returns what a schema says of fields. It knows names, kinds and the
// bounds of numbers. Of a [setting.Custom] field custom says it.
func Properties(fields []setting.Field, custom func(name string) Object) Object {
	top, inner := Object{}, map[string]Object{}
	for _, f := range fields {
		part, rest, nested := strings.Cut(f.Name, ".")
		if !nested {
			top[part] = property(&f, custom)
			continue
		}
		if inner[part] == nil {
			inner[part] = Object{}
		}
		inner[part][rest] = property(&f, custom)
	}
	for part, properties := range inner {
		mapping := Object{"type": "object", "properties": properties, "additionalProperties": false}
		switch own, ok := top[part].(Object); {
		case !ok:
			top[part] = mapping
		case own["enum"] != nil: // a switch
			top[part] = Object{"description": own["description"], "anyOf": []Object{{"enum": own["enum"]}, mapping}}
		default:
			own["properties"] = properties
		}
	}
	return top
}

func property(f *setting.Field, custom func(name string) Object) Object {
	s := Object{}
	switch f.Kind {
	case setting.Duration:
		s["$ref"] = "#/$defs/duration"
	case setting.Count, setting.Number:
		s["type"] = "number"
		if f.Kind == setting.Count {
			s["type"] = "integer"
		}
		bound(s, f)
	case setting.Bool:
		s["type"] = "boolean"
	case setting.Switch:
		// Parsers of YAML 1.1 take on and off for booleans.
		s["enum"] = []any{"on", "off", true, false}
	case setting.Text:
		s = text()
	case setting.Size:
		s["anyOf"] = []Object{
			{"type": "integer", "minimum": 0, "maximum": 128 << 20}, {"type": "string", "pattern": `^[0-9]+(B|KiB|MiB)?$`},
		}
	case setting.List:
		s["type"], s["items"] = "array", text()
		if f.Values != nil {
			s["uniqueItems"], s["items"] = true, Object{"enum": f.Values}
		}
	case setting.Part:
		s["type"], s["additionalProperties"] = []string{"object", "null"}, false
	case setting.Custom:
		s = custom(f.Name)
	}
	s["description"] = description(f)
	return s
}

func text() Object { return Object{"type": []string{"string", "number"}, "minLength": 1} }

func bound(s Object, f *setting.Field) {
	s["maximum"] = f.Max
	if f.Max == 0 { // its package checks it
		s["maximum"] = 1_000_000
	}
	if f.Above {
		s["exclusiveMinimum"] = f.Min
	} else {
		s["minimum"] = f.Min
	}
}

func description(f *setting.Field) string {
	if f.Default == "" {
		return f.Doc
	}
	text := f.Doc + " Default: " + f.Default
	if (f.Default == "0" || f.Default == "0s") && f.Zero != "" {
		text += ", which is " + f.Zero
	}
	if bounds := f.Bounds(); bounds != "" {
		text += "; " + bounds
	}
	return text + "."
}
