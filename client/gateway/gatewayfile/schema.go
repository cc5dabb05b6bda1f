package gatewayfile

import "github.com/warren-rpc/warren/internal/configfile"

// schemaID names the schema; it is where the file is published.
const schemaID = "https://github.com/warren-rpc/warren/blob/main/docs/schema/gateway.schema.json"

type object = configfile.Object

// Schema returns the JSON Schema (draft 2020-12) of gateway files, for editors and
// other tools. It knows names and kinds. What it cannot say (bounds of sizes and
// durations, patterns that conflict) Parse finds.
func Schema() []byte {
	return configfile.Schema(
		schemaID, "Warren's gateway", "Which HTTP requests become calls of which methods, and how.", "routes",
		configfile.Properties(fileFields, customSchema),
		object{"route": object{
			"type": "object", "required": []string{"method"}, "additionalProperties": false,
			"properties": configfile.Properties(routeFields, customSchema),
		}},
	)
}

func customSchema(name string) object {
	schema := object{"type": []string{"object", "boolean", "string"}}
	switch name {
	case "routes":
		return object{
			"type": "object", "minProperties": 1, "propertyNames": object{"pattern": `^[A-Z]+ /\S*$`},
			"additionalProperties": object{"$ref": "#/$defs/route"},
		}
	case "schemas":
		return object{"type": "object", "additionalProperties": schema}
	case "payload":
		return object{"anyOf": []object{{"type": []string{"string", "number"}, "minLength": 1}, {
			"type": "object", "minProperties": 1, "additionalProperties": object{"enum": []string{"string", "integer", "number", "boolean"}},
		}}}
	default:
		return schema
	}
}
