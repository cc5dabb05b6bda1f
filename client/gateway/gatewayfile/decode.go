package gatewayfile

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/setting"
)

type decoder struct {
	configfile.Decoder

	file File
}

func newDecoder(name string, data []byte) *decoder {
	return &decoder{Decoder: configfile.Decoder{
		File: name, Data: data, Must: "routes", NoMerge: "say what routes share at the top of the file",
	}}
}

func (d *decoder) decode() {
	root := d.Document()
	if root == nil {
		return
	}
	d.Section(configfile.Section{Fields: fileFields, Set: d.set, Custom: d.custom}, root, root)
	if len(d.Findings) > 0 {
		return
	}
	if at, there := d.Said("", "auth"); there {
		switch {
		case d.file.Tokens == "":
			d.Add(at, setting.LevelError, "auth", "has no tokens: everybody could call")
		case d.file.KeySecret == "":
			d.Add(at, setting.LevelError, "auth", "needs a key_secret, or the IDs of its callers' calls could be computed: write its file's name beside it")
		}
	}
	if _, there := d.Said("", "routes"); !there && len(d.Findings) == 0 {
		d.Missing()
	}
}

// set takes a value of the file itself.
func (d *decoder) set(f *setting.Field, value any) {
	switch {
	case f.Name == "auth.tokens":
		d.file.Tokens = value.(string) //nolint:errcheck // by its kind
	case f.Name == "key_secret":
		d.file.KeySecret = value.(string) //nolint:errcheck // by its kind
	case f.Name == "cors.max_age" && value == time.Duration(0):
		d.file.Gateway.CORS.MaxAge = -1
	case strings.HasPrefix(f.Name, "server."):
		f.Set(&d.file, value)
	default:
		f.Set(&d.file.Gateway, value)
	}
}

func (d *decoder) custom(f *setting.Field, at, node *yaml.Node) {
	if f.Name == "routes" {
		d.Each(at, node, f.Name, d.route)
		return
	}
	schemas, wrong := schemas(configfile.Resolve(node))
	if wrong != "" {
		d.Refuse(at, f.Name, "%s", wrong)
		return
	}
	d.file.Gateway.Schemas = schemas
}

func (d *decoder) route(pattern string, at, node *yaml.Node) {
	d.Mark(pattern, "", at)
	r, path := gateway.Route{Pattern: pattern}, configfile.Join("routes", pattern)
	d.Section(configfile.Section{
		Entry: pattern, Path: path, Fields: routeFields,
		Set: func(f *setting.Field, value any) {
			if f.Name == "max_body" && value == 0 {
				value = -1
			}
			f.Set(&r, value)
		},
		Custom: func(f *setting.Field, at, node *yaml.Node) {
			var value any
			var ok bool
			wanted := wantedSchema
			if f.Name == "payload" {
				wanted = "the name of a parameter, or a mapping of names to types"
				value, ok = payload(configfile.Resolve(node))
			} else {
				value, ok = schema(configfile.Resolve(node))
			}
			if !ok {
				d.Refuse(at, configfile.Join(path, f.Name), "is %s; write %s", configfile.Describe(configfile.Resolve(node)), wanted)
				return
			}
			f.Set(&r, value)
		},
	}, at, node)
	if at, there := d.Said(pattern, "rate"); there && r.Rate == (gateway.Rate{}) && len(d.Findings) == 0 {
		d.Add(at, setting.LevelError, configfile.Join(path, "rate"), "has no per_second, and so bounds nothing")
	}
	d.file.Gateway.Routes = append(d.file.Gateway.Routes, r)
}
