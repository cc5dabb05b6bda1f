package policyfile

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/warren-rpc/warren/internal/policy"
)

// schemaID names the schema; it is where the file is published.
const schemaID = "https://github.com/warren-rpc/warren/blob/main/docs/schema/policy.schema.json"

// patternForm is the form of patterns: a method's name, or the beginning of
// names and a star.
const patternForm = `^([A-Za-z0-9._-]{1,200}|[A-Za-z0-9._-]{0,200}\*)$`

type object = map[string]any

// Schema returns the JSON Schema (draft 2020-12) of policy files, for editors
// and other tools. It knows names, kinds and the bounds of numbers. What it
// cannot say (bounds of durations, contradictions) Parse finds.
func Schema() []byte {
	schema := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schemaID,
		"title": "Warren's policies", "description": "What is done about the calls of methods, by patterns of their names.",
		"type": "object", "required": []string{"methods"}, "additionalProperties": false,
		"properties": object{
			"$schema": object{"type": "string"},
			"methods": object{
				"description": "By exact name, or by the beginning of names and a star. For each value the longest pattern that says it decides.",
				"type":        []string{"object", "null"}, "propertyNames": object{"pattern": patternForm},
				"additionalProperties": object{"$ref": "#/$defs/policy"},
			},
		},
		"$defs": object{
			"duration": object{"type": "string", "pattern": policy.DurationPattern, "examples": []string{"250ms", "1.5s"}},
			"policy":   policySchema(),
		},
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // it is made of maps, slices, texts and numbers
	}
	return append(text, '\n')
}

func policySchema() object {
	top, inner := object{}, map[string]object{}
	for _, f := range policy.Fields() {
		part, rest, nested := strings.Cut(f.Name, ".")
		if !nested {
			top[part] = fieldSchema(f)
			continue
		}
		if inner[part] == nil {
			inner[part] = object{}
		}
		inner[part][rest] = fieldSchema(f)
	}
	for part, properties := range inner {
		mapping := object{"type": "object", "properties": properties, "additionalProperties": false}
		if own, switchable := top[part].(object); switchable {
			mapping = object{"description": own["description"], "anyOf": []object{{"enum": own["enum"]}, mapping}}
		}
		top[part] = mapping
	}
	return object{"type": []string{"object", "null"}, "properties": top, "additionalProperties": false}
}

func fieldSchema(f policy.Field) object {
	s := object{"description": fieldDescription(f)}
	switch f.Kind {
	case policy.KindDuration:
		s["$ref"] = "#/$defs/duration"
	case policy.KindCount, policy.KindNumber:
		s["type"] = "number"
		if f.Kind == policy.KindCount {
			s["type"] = "integer"
		}
		s["maximum"] = f.Max
		if f.Above {
			s["exclusiveMinimum"] = f.Min
		} else {
			s["minimum"] = f.Min
		}
	case policy.KindBool:
		s["type"] = "boolean"
	case policy.KindSwitch:
		// Parsers of YAML 1.1 take on and off for booleans.
		s["enum"] = []any{"on", "off", true, false}
	case policy.KindCodes:
		s["type"], s["uniqueItems"] = "array", true
		s["items"] = object{"enum": f.Values}
	}
	return s
}

func fieldDescription(f policy.Field) string {
	text := f.Doc + " Default: " + f.Default
	if (f.Default == "0" || f.Default == "0s") && f.Zero != "" {
		text += ", which is " + f.Zero
	}
	if bounds := f.Bounds(); bounds != "" {
		text += fmt.Sprintf("; %s", bounds)
	}
	return text + "."
}
