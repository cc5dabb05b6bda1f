package gatewayfile

import (
	"encoding/json"

	"github.com/warren-rpc/warren/internal/policy"
)

// schemaID names the schema; it is where the file is published.
const schemaID = "https://github.com/warren-rpc/warren/blob/main/docs/schema/gateway.schema.json"

type object = map[string]any

// Schema returns the JSON Schema (draft 2020-12) of gateway files, for editors and
// other tools. It knows names and kinds. What it cannot say (bounds of sizes and
// durations, patterns that conflict) Parse finds.
func Schema() []byte {
	properties := propertiesOf(topFields)
	properties["$schema"] = object{"type": "string"}
	properties["routes"] = object{
		"description": "By an HTTP method, a blank and a path, such as GET /orders/{id}.",
		"type":        "object", "minProperties": 1, "propertyNames": object{"pattern": `^[A-Z]+ /\S*$`},
		"additionalProperties": object{"$ref": "#/$defs/route"},
	}
	schema := object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schemaID,
		"title": "Warren's gateway", "description": "Which HTTP requests become calls of which methods, and how.",
		"type": "object", "required": []string{"routes"}, "additionalProperties": false, "properties": properties,
		"$defs": object{
			"duration": object{"type": "string", "pattern": policy.DurationPattern, "examples": []string{"250ms", "1.5s"}},
			"route": object{
				"type": "object", "required": []string{"method"}, "additionalProperties": false, "properties": propertiesOf(routeFields),
			},
		},
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // it is made of maps, slices, texts and numbers
	}
	return append(text, '\n')
}

func propertiesOf[T any](fields []field[T]) object {
	properties := object{}
	for _, f := range fields {
		s := schemaOf(f.kind)
		if f.kind == kindPart {
			s["properties"] = propertiesOf(f.part)
		}
		if _, bounded := s["minimum"]; bounded && f.above {
			delete(s, "minimum")
			s["exclusiveMinimum"] = 0
		}
		s["description"] = f.doc
		properties[f.name] = s
	}
	return properties
}

func schemaOf(k kind) object {
	text := object{"type": []string{"string", "number"}, "minLength": 1}
	switch k {
	case kindText:
		return text
	case kindBool:
		return object{"type": "boolean"}
	case kindCount:
		return object{"type": "integer", "minimum": 0, "maximum": 1_000_000}
	case kindNumber:
		return object{"type": "number", "minimum": 0, "maximum": 1_000_000}
	case kindSize:
		return object{"anyOf": []object{
			{"type": "integer", "minimum": 0, "maximum": 128 << 20}, {"type": "string", "pattern": `^[0-9]+(B|KiB|MiB)?$`},
		}}
	case kindDuration:
		return object{"$ref": "#/$defs/duration"}
	case kindList:
		return object{"type": "array", "items": text}
	case kindSchema:
		return object{"type": []string{"object", "boolean", "string"}}
	case kindSchemas:
		return object{"type": "object", "additionalProperties": object{"type": []string{"object", "boolean", "string"}}}
	case kindPayload:
		return object{"anyOf": []object{text, {
			"type": "object", "minProperties": 1, "additionalProperties": object{"enum": []string{"string", "integer", "number", "boolean"}},
		}}}
	default: // a part
		return object{"type": []string{"object", "null"}, "additionalProperties": false}
	}
}
