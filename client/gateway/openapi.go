package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

type object = map[string]any

// openAPI returns the OpenAPI document of the routes.
func openAPI(cfg Config, rs *routes) []byte {
	schemas := object{"Problem": problemSchema}
	for name, raw := range cfg.Schemas {
		schemas[name] = schemaOf(raw)
	}
	paths, ids := object{}, map[string]int{}
	for _, e := range rs.list {
		method, path, _ := strings.Cut(e.Pattern, " ")
		path = openPath(path)
		item, _ := paths[path].(object)
		if item == nil {
			item = object{}
			paths[path] = item
		}
		if operation := strings.ToLower(method); operations[operation] {
			item[operation] = e.operation(cfg, ids)
		}
	}
	text, err := json.MarshalIndent(object{
		"openapi": "3.1.0", "info": object{"title": cfg.Title, "version": cfg.Version},
		"paths": paths, "components": object{"schemas": schemas},
	}, "", "  ")
	if err != nil {
		panic(err) // its schemas have been read, and all else is made here
	}
	return append(text, '\n')
}

// operations are the methods that OpenAPI 3.1 has a place for.
var operations = map[string]bool{
	"get": true, "put": true, "post": true, "delete": true, "options": true, "head": true, "patch": true,
}

var moreSegments = regexp.MustCompile(`\.\.\.\}`)

// openPath writes a path as OpenAPI does.
func openPath(path string) string {
	return moreSegments.ReplaceAllString(strings.TrimSuffix(path, "{$}"), "}")
}

func (e *endpoint) operation(cfg Config, ids map[string]int) object {
	ids[e.Method]++
	id := e.Method
	if n := ids[e.Method]; n > 1 {
		id = fmt.Sprintf("%s_%d", e.Method, n)
	}
	op := object{"operationId": id, "responses": e.responses(cfg)}
	if e.Summary != "" {
		op["summary"] = e.Summary
	}
	if parameters := e.parameters(); len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if e.maxBody > 0 && len(e.Request) > 0 {
		op["requestBody"] = object{"required": true, "content": content("application/json", schemaOf(e.Request))}
	}
	return op
}

func (e *endpoint) responses(cfg Config) object {
	ok := object{"description": "The reply."}
	kind := e.ReplyType
	if kind == "" {
		kind = "application/json"
	}
	if len(e.Reply) > 0 {
		ok["content"] = content(kind, schemaOf(e.Reply))
	}
	failed := func(description string) object {
		return object{"description": description, "content": content(problemType, object{"$ref": componentPrefix + "Problem"})}
	}
	responses := object{"200": ok, "default": failed("An error.")}
	if cfg.Authenticate != nil {
		responses["401"] = failed("The caller is not known.")
	}
	return responses
}

func content(kind string, schema any) object { return object{kind: object{"schema": schema}} }

func (e *endpoint) parameters() []object {
	var list []object
	add := func(name, in string, required bool, schema object) {
		list = append(list, object{"name": name, "in": in, "required": required, "schema": schema})
	}
	kindOf := func(name string) object {
		if kind := e.Payload.JSON[name]; kind != "" {
			return object{"type": kind}
		}
		return object{"type": "string"}
	}
	for _, name := range e.params {
		add(name, "path", true, kindOf(name))
	}
	query := slices.Concat(e.Query, e.Lists)
	if e.Payload.Text != "" {
		query = append(query, e.Payload.Text)
	}
	query = append(query, slices.Collect(maps.Keys(e.Payload.JSON))...)
	slices.Sort(query)
	for _, name := range slices.Compact(query) {
		switch {
		case slices.Contains(e.params, name):
		case e.lists[name]:
			add(name, "query", false, object{"type": "array", "items": kindOf(name)})
		default:
			add(name, "query", name == e.Payload.Text, kindOf(name))
		}
	}
	for _, name := range e.in {
		// OpenAPI has places of its own for these, and has them ignored here.
		if name != "Accept" && name != "Authorization" {
			add(name, "header", false, object{"type": "string"})
		}
	}
	add(headerTimeout, "header", false, object{"type": "string", "examples": []string{"2.5", "250ms"}})
	if method, _, _ := strings.Cut(e.Pattern, " "); method != http.MethodGet && method != http.MethodHead || e.RequireKey {
		add(headerKey, "header", e.RequireKey, object{"type": "string", "minLength": 1, "maxLength": maxKey})
	}
	return list
}

// schemaOf returns a schema; a text is a reference.
func schemaOf(raw json.RawMessage) any {
	var ref string
	if json.Unmarshal(raw, &ref) == nil {
		return object{"$ref": ref}
	}
	return raw
}

var problemSchema = object{
	"type": "object", "required": []string{"type", "title", "status", "detail", "code", "outcome"},
	"properties": object{
		"type": object{"type": "string"}, "title": object{"type": "string"}, "status": object{"type": "integer"}, "detail": object{"type": "string"},
		"code": object{"type": "string", "description": "One of the sixteen codes that gRPC and Connect share."}, "reason": object{"type": "string"},
		"outcome":  object{"enum": []string{"executed", "not_executed", "unknown"}, "description": "Whether the handler ran."},
		"call_id":  object{"type": "string"},
		"incident": object{"type": "string", "description": "Names an entry in the server's log."},
		"details":  object{"type": "object", "additionalProperties": object{"type": "string"}},
	},
}
