package policyfile

import (
	"slices"
	"strings"

	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/policy"
)

// known returns the names that may stand in a part, or beside the parts if it is
// empty, in the order in which they are documented.
func known(part string) []string {
	var names []string
	for _, f := range policy.Fields() {
		name := f.Name
		before, rest, nested := strings.Cut(name, ".")
		switch {
		case part == "":
			name = before
		case nested && before == part:
			name = rest
		default:
			continue
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// suggest returns "; did you mean x?" with the nearest of the names, or where a
// field of this name belongs, or else all names if they are few.
func suggest(name string, names []string) string {
	if near := configfile.Nearest(name, names); near != "" {
		return "; did you mean " + near + "?"
	}
	for _, f := range policy.Fields() {
		if part, rest, ok := strings.Cut(f.Name, "."); ok && configfile.Normal(rest) == configfile.Normal(name) {
			return "; did you mean " + rest + " in " + part + "?"
		}
		if f.Name == name {
			return "; " + name + " belongs directly to the pattern"
		}
	}
	if len(names) > 10 {
		return ""
	}
	return "; it may have " + strings.Join(names, ", ")
}
