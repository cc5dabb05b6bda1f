package configfile

import "strings"

// normal is a name as it may be written elsewhere: maxAttempts, max-attempts.
func normal(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// Suggest returns "; did you mean x?" with the nearest of the names, or else all
// names.
func Suggest(name string, names []string) string {
	if text := near(name, names); text != "" {
		return text
	}
	return "; it may have " + strings.Join(names, ", ")
}

// near returns "; did you mean x?", or nothing if none is near.
func near(name string, names []string) string {
	if nearest := nearest(name, names); nearest != "" {
		return "; did you mean " + nearest + "?"
	}
	return ""
}

// nearest returns the name that takes the fewest changes, of those that take
// few, or that name contains or is part of; empty if none is near.
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
