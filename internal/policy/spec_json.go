package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// MarshalJSON writes what is said, in the form in which files say it.
func (s Spec) MarshalJSON() ([]byte, error) {
	s = s.complete()
	object := map[string]any{}
	var p Policy
	for i := range fields {
		f := &fields[i]
		if !f.said(&s) {
			continue
		}
		f.copy(&p, &s)
		var value any = f.format(&p)
		switch f.Kind {
		case KindCount, KindNumber, KindBool:
			value = f.value(&p)
		case KindCodes:
			value = s.Retry.Codes
		case KindDuration, KindSwitch:
		}
		part, rest, nested := strings.Cut(f.Name, ".")
		if !nested {
			object[part] = value
			continue
		}
		inner, ok := object[part].(map[string]any)
		if !ok {
			if object[part] == "off" {
				return nil, fmt.Errorf("reliability: %s is off, and yet more is said of it", part)
			}
			inner = map[string]any{}
			object[part] = inner
		}
		inner[rest] = value
	}
	return json.Marshal(object)
}

// UnmarshalJSON reads what files say in JSON. Unknown fields are refused; of
// fields that are there twice the last counts. Files are better read by package
// policyfile, which names the line.
func (s *Spec) UnmarshalJSON(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("reliability: %w", err)
	}
	*s = Spec{}
	for name, value := range object {
		var inner map[string]json.RawMessage
		if value[0] != '{' {
			if err := s.setJSON(name, value); err != nil {
				return err
			}
			continue
		}
		if err := json.Unmarshal(value, &inner); err != nil {
			return fmt.Errorf("reliability: %w", err)
		}
		for rest, value := range inner {
			if err := s.setJSON(name+"."+rest, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// setJSON says one value.
func (s *Spec) setJSON(name string, value json.RawMessage) error {
	f := fieldNamed(name)
	if f == nil {
		return fmt.Errorf("reliability: there is no field %.60q", name)
	}
	text := string(bytes.TrimSpace(value))
	var err error
	switch f.Kind {
	case KindDuration, KindSwitch:
		err = json.Unmarshal(value, &text)
	case KindCodes:
		var names []string
		err = json.Unmarshal(value, &names)
		text = strings.Join(names, ",")
	case KindCount, KindNumber, KindBool:
	}
	var kind *json.UnmarshalTypeError
	if text == "null" || errors.As(err, &kind) {
		return fmt.Errorf("reliability: %s is %.40s, which is not of its kind", name, value)
	}
	if err != nil {
		return fmt.Errorf("reliability: %s: %w", name, err)
	}
	return s.Set(name, text)
}
