package policyfile

import (
	"slices"
	"strings"

	"github.com/warren-rpc/warren/reliability"
)

// known returns the names that may stand in a part, or beside the parts if it is
// empty, in the order in which they are documented.
func known(part string) []string {
	var names []string
	for _, f := range reliability.Fields() {
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
	if near := nearest(name, names); near != "" {
		return "; did you mean " + near + "?"
	}
	for _, f := range reliability.Fields() {
		if part, rest, ok := strings.Cut(f.Name, "."); ok && normal(rest) == normal(name) {
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

// normal is a name as it may be written elsewhere: maxAttempts, max-attempts.
func normal(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// nearest returns the name that takes the fewest changes, of those that take
// few, or that name contains or is part of.
func nearest(name string, names []string) string {
	name = normal(name)
	if len(name) < 2 || len(name) > 40 {
		return ""
	}
	best, least := "", 0
	for _, candidate := range names {
		plain := normal(candidate)
		d := changes(name, plain)
		if strings.Contains(name, plain) || strings.Contains(plain, name) {
			d = min(d, 2)
		}
		if d <= max(1, len(plain)/3) || d <= 2 && len(plain) > 3 {
			if best == "" || d < least {
				best, least = candidate, d
			}
		}
	}
	return best
}

// changes counts the letters to insert, delete or replace, which is the
// Levenshtein distance.
func changes(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
