#!/bin/sh
# Run every fuzz function below the current folder, one after the other, for the time given (10s).
# Go fuzzes one function of one package per command, hence the loop. All of them run even if one fails.
set -u
fuzztime=${1:-10s}
failed=

list() {
    find . \( -name node_modules -o -name testdata -o -name '.?*' \) -prune -o -name '*_test.go' -print |
        while read -r file; do
            sed -n "s|^func \\(Fuzz[A-Za-z0-9_]*\\)(.*|\\1 $(dirname "$file")|p" "$file"
        done
}

functions=$(list)
[ -n "$functions" ] || echo "fuzz: no fuzz function found" >&2

while read -r name dir; do
    [ -n "$name" ] || continue
    echo "--- $name in $dir, $fuzztime"
    # By default an input that is worth keeping is made smaller for up to a minute, in which nothing is tried.
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$fuzztime" -fuzzminimizetime 20x "$dir" </dev/null || failed="$failed $name"
done <<END
$functions
END

[ -z "$failed" ] || { echo "fuzz: failed:$failed" >&2; exit 1; }
