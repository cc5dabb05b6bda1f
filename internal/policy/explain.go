package policy

// Setting is one value of a method's policy and where it comes from.
type Setting struct {
	Field string `json:"field"` // a name that Fields lists
	Value string `json:"value"` // as Spec.Set reads it
	From  string `json:"from"`  // the pattern that says it, or "default"
}

// Explain returns every value of a method's policy, in the order of [Fields].
func (t *Table) Explain(method string) []Setting {
	e := t.find(method)
	settings := make([]Setting, len(fields))
	for i := range fields {
		settings[i] = Setting{Field: fields[i].Name, Value: fields[i].format(&e.policy), From: e.from[i].pattern}
	}
	return settings
}
