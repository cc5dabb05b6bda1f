package gatewayfile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/policy"
)

type decoder struct {
	configfile.Decoder

	file   File
	places configfile.Places
}

func newDecoder(name string, data []byte) *decoder {
	return &decoder{
		Decoder: configfile.Decoder{
			File: name, Data: data, Must: "routes", NoMerge: "say what routes share at the top of the file",
		},
		places: configfile.Places{},
	}
}

func (d *decoder) decode() {
	root := d.Document()
	if root == nil {
		return
	}
	known := append(names(topFields), "routes")
	var routes bool
	d.Each(root, root, "", func(key string, at, node *yaml.Node) {
		d.places[configfile.Place{Entry: "", Field: key}] = configfile.At(at)
		switch key {
		case "$schema": // for editors
		case "routes":
			routes = true
			d.Each(at, node, "routes", d.route)
		default:
			decodeField(d, &d.file, topFields, known, "", "", key, at, node)
		}
	})
	if at, there := d.places[configfile.Place{Entry: "", Field: "auth"}]; there && len(d.Findings) == 0 {
		switch {
		case d.file.Tokens == "":
			d.Add(at, policy.LevelError, "auth", "has no tokens: everybody could call")
		case d.file.KeySecret == "":
			d.Add(at, policy.LevelError, "auth", "needs a key_secret, or the IDs of its callers' calls could be computed: write its file's name beside it")
		}
	}
	if !routes && len(d.Findings) == 0 {
		d.Missing()
	}
}

func (d *decoder) route(pattern string, at, node *yaml.Node) {
	d.places[configfile.Place{Entry: pattern, Field: ""}] = configfile.At(at)
	r, path := gateway.Route{Pattern: pattern}, configfile.Join("routes", pattern)
	d.Each(at, node, path, func(key string, at, node *yaml.Node) {
		decodeField(d, &r, routeFields, names(routeFields), pattern, path, key, at, node)
	})
	if at, there := d.places[configfile.Place{Entry: pattern, Field: "rate"}]; there && r.Rate == (gateway.Rate{}) && len(d.Findings) == 0 {
		d.Add(at, policy.LevelError, configfile.Join(path, "rate"), "has no per_second, and so bounds nothing")
	}
	d.file.Gateway.Routes = append(d.file.Gateway.Routes, r)
}

// decodeField reads what stands after a key. known are the names that may stand there.
func decodeField[T any](
	d *decoder, target *T, fields []field[T], known []string, route, path, key string, at, node *yaml.Node,
) {
	full := configfile.Join(path, key)
	var f *field[T]
	for i := range fields {
		if fields[i].name == key {
			f = &fields[i]
		}
	}
	if f == nil {
		d.Refuse(at, full, "is not known%s", suggest(key, known))
		return
	}
	d.places[configfile.Place{Entry: route, Field: strings.TrimPrefix(fieldName(route, full), ".")}] = configfile.At(at)
	if f.kind == kindPart {
		d.Each(at, node, full, func(key string, at, node *yaml.Node) {
			decodeField(d, target, f.part, names(f.part), route, full, key, at, node)
		})
		return
	}
	v, wrong := read(f.kind, configfile.Resolve(node))
	if wrong == "" && f.above && v.zero() {
		wrong = "is 0; leave it out for the default"
	}
	if wrong != "" {
		d.Refuse(at, full, "%s", wrong)
		return
	}
	f.set(target, v)
}

// fieldName is the path of a field without that of its route.
func fieldName(route, path string) string {
	if route == "" {
		return path
	}
	return strings.TrimPrefix(path, configfile.Join("routes", route))
}

func suggest(name string, known []string) string {
	if near := configfile.Nearest(name, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; it may have " + strings.Join(known, ", ")
}
