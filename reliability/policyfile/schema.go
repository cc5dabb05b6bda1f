package policyfile

import (
	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/policy"
)

// schemaID names the schema; it is where the file is published.
const schemaID = "https://github.com/warren-rpc/warren/blob/main/docs/schema/policy.schema.json"

// patternForm is the form of patterns: a method's name, or the beginning of
// names and a star.
const patternForm = `^([A-Za-z0-9._-]{1,200}|[A-Za-z0-9._-]{0,200}\*)$`

// Schema returns the JSON Schema (draft 2020-12) of policy files, for editors
// and other tools. It knows names, kinds and the bounds of numbers. What it
// cannot say (bounds of durations, contradictions) Parse finds.
func Schema() []byte {
	type object = configfile.Object
	return configfile.Schema(
		schemaID, "Warren's policies", "What is done about the calls of methods, by patterns of their names.", "methods",
		object{"methods": object{
			"description": "By exact name, or by the beginning of names and a star. For each value the longest pattern that says it decides.",
			"type":        []string{"object", "null"}, "propertyNames": object{"pattern": patternForm},
			"additionalProperties": object{"$ref": "#/$defs/policy"},
		}},
		object{"policy": object{
			"type": []string{"object", "null"}, "properties": configfile.Properties(policy.Fields(), nil), "additionalProperties": false,
		}},
	)
}
