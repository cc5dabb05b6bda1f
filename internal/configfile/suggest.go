package configfile

import "strings"

// Normal is a name as it may be written elsewhere: maxAttempts, max-attempts.
func Normal(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// Nearest returns the name that takes the fewest changes, of those that take
// few, or that name contains or is part of; empty if none is near.
func Nearest(name string, names []string) string {
	name = Normal(name)
	if len(name) < 2 || len(name) > 40 {
		return ""
	}
	best, least := "", 0
	for _, candidate := range names {
		plain := Normal(candidate)
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
