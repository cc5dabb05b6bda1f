package policyfile

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability"
)

// fields are those of a policy by name, and parts those that have fields of
// their own, with whether they can be on or off.
var (
	fields = func() map[string]policy.Field {
		m := map[string]policy.Field{}
		for _, f := range policy.Fields() {
			m[f.Name] = f
		}
		return m
	}()
	parts = func() map[string]bool {
		m := map[string]bool{}
		for name := range fields {
			if part, _, ok := strings.Cut(name, "."); ok {
				m[part] = fields[part].Kind == policy.KindSwitch
			}
		}
		return m
	}()
)

// spec reads what is said of a pattern.
func (d *decoder) spec(pattern string, at, node *yaml.Node) reliability.Spec {
	var s reliability.Spec
	path := configfile.Join("methods", pattern)
	if n := configfile.Resolve(node); configfile.IsNull(n) || n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.Add(configfile.At(at), reliability.LevelWarning, path, "says nothing")
		return s
	}
	d.Each(at, node, path, func(key string, at, value *yaml.Node) {
		path := configfile.Join(path, key)
		switchable, part := parts[key]
		switch {
		case part:
			d.mark(pattern, key, at)
			d.part(&s, pattern, path, key, switchable, at, value)
		case fields[key].Kind != 0:
			d.mark(pattern, key, at)
			d.set(&s, fields[key], path, at, value)
		default:
			d.Refuse(at, path, "is not known%s", suggest(key, known("")))
		}
	})
	return s
}

func (d *decoder) mark(pattern, field string, at *yaml.Node) {
	d.places[configfile.Place{Entry: pattern, Field: field}] = configfile.At(at)
}

func (d *decoder) part(s *reliability.Spec, pattern, path, part string, switchable bool, at, value *yaml.Node) {
	if configfile.Resolve(value).Kind == yaml.MappingNode {
		d.Each(at, value, path, func(key string, at, value *yaml.Node) {
			path, name := configfile.Join(path, key), part+"."+key
			if fields[name].Kind == 0 {
				d.Refuse(at, path, "is not known%s", suggest(key, known(part)))
				return
			}
			d.mark(pattern, name, at)
			d.set(s, fields[name], path, at, value)
		})
		return
	}
	if switchable {
		d.set(s, fields[part], path, at, value)
		return
	}
	d.Refuse(at, path, "is %s; it must be a mapping, of %s", configfile.Describe(configfile.Resolve(value)), strings.Join(known(part), ", "))
}

// set says one value, if it is of the field's kind.
func (d *decoder) set(s *reliability.Spec, f policy.Field, path string, at, value *yaml.Node) {
	value = configfile.Resolve(value)
	if f.Kind == policy.KindCodes {
		d.codes(s, f, path, at, value)
		return
	}
	text, wrong := plain(f, value)
	if wrong == "" {
		wrong = refusal(s.Set(f.Name, text))
	}
	if wrong != "" {
		d.Refuse(at, path, "%s", wrong)
	}
}

// refusal is the error of Spec.Set without the field's name.
func refusal(err error) string {
	if err == nil {
		return ""
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return err.Error()
}

var wanted = map[policy.Kind]string{
	policy.KindDuration: `a duration such as "250ms"`,
	policy.KindCount:    "a whole number",
	policy.KindNumber:   "a number",
	policy.KindBool:     "true or false",
	policy.KindSwitch:   "on, off or a mapping",
}

// plain returns a scalar as Spec.Set reads it, or what is wrong with it.
func plain(f policy.Field, value *yaml.Node) (text, wrong string) {
	tag := value.ShortTag()
	if value.Kind != yaml.ScalarNode || tag == "!!null" {
		return "", "is " + configfile.Describe(value) + "; write " + wanted[f.Kind]
	}
	switch f.Kind {
	case policy.KindCount, policy.KindNumber:
		if tag != "!!int" && tag != "!!float" {
			wrong = "is " + configfile.Describe(value) + "; write " + wanted[f.Kind]
			if _, err := strconv.ParseFloat(value.Value, 64); err == nil {
				wrong += ", without quotes"
			}
			return "", wrong
		}
		var v float64
		if err := value.Decode(&v); err != nil {
			return "", "is " + configfile.Describe(value) + "; write " + wanted[f.Kind]
		}
		if f.Kind == policy.KindCount && (v != math.Trunc(v) || math.Abs(v) > math.MaxInt32) {
			return "", "is " + configfile.Clip(value.Value) + "; it must be a whole number, " + f.Bounds()
		}
		return strconv.FormatFloat(v, 'f', -1, 64), ""
	case policy.KindBool, policy.KindSwitch:
		var v bool
		if tag != "!!bool" || value.Decode(&v) != nil {
			if f.Kind == policy.KindBool {
				wrong = "is " + configfile.Describe(value) + "; write " + wanted[f.Kind]
				if value.Value == "true" || value.Value == "false" {
					wrong += ", without quotes"
				}
			}
			break
		}
		if f.Kind == policy.KindBool {
			return strconv.FormatBool(v), ""
		}
		// Other parsers, and what writes files anew, take off for false.
		return map[bool]string{true: "on", false: "off"}[v], ""
	case policy.KindDuration, policy.KindCodes:
	}
	return value.Value, wrong
}

func (d *decoder) codes(s *reliability.Spec, f policy.Field, path string, at, value *yaml.Node) {
	if value.Kind != yaml.SequenceNode {
		d.Refuse(at, path, "is %s; it must be a list of codes", configfile.Describe(value))
		return
	}
	if len(value.Content) > len(f.Values) {
		d.Refuse(at, path, "is a list of %d; there are %d codes", len(value.Content), len(f.Values))
		return
	}
	names := make([]string, 0, len(value.Content))
	for _, item := range value.Content {
		name := configfile.Resolve(item)
		if name.Kind != yaml.ScalarNode || !slices.Contains(f.Values, name.Value) {
			d.Refuse(item, path, "has %s, which is not the name of a code%s", configfile.Describe(name), suggest(name.Value, f.Values))
			return
		}
		names = append(names, name.Value)
	}
	if wrong := refusal(s.Set(f.Name, strings.Join(names, ","))); wrong != "" {
		d.Refuse(at, path, "%s", wrong)
	}
}
