package frames

// What the AMQP library takes, by its source.
const (
	// maxDepth is how deep tables and lists may stand in the header table.
	maxDepth = 32
	// maxEntries is how many entries one of them may have.
	maxEntries = 8192
)

// The flaws of a header, as Mark tells them.
const (
	malformed   = "the headers are malformed"
	tooLarge    = "the headers are larger than a frame"
	tooDeep     = "the headers are nested too deep"
	tooMany     = "the headers have too many values"
	unknownType = "the headers have a value of a type that is not known"
)

// checkTable returns what keeps the library from reading the entries of a table that stands in so many others, or "".
// It makes of the type L, a 64-bit integer by which some clients write what is l to all others, the type l.
func checkTable(entries []byte, depth int) string {
	if depth > maxDepth {
		return tooDeep
	}
	for n := 0; len(entries) > 0; n++ {
		if n == maxEntries {
			return tooMany
		}
		value := 1 + int(entries[0])
		if value >= len(entries) {
			return malformed
		}
		size, flaw := checkValue(entries[value:], depth)
		if flaw != "" {
			return flaw
		}
		entries = entries[value+size:]
	}
	return ""
}

func checkList(values []byte, depth int) string {
	if depth > maxDepth {
		return tooDeep
	}
	for n := 0; len(values) > 0; n++ {
		if n == maxEntries {
			return tooMany
		}
		size, flaw := checkValue(values, depth)
		if flaw != "" {
			return flaw
		}
		values = values[size:]
	}
	return ""
}

// checkValue checks the value that stands at the front of b, which is not empty, and returns its size.
func checkValue(b []byte, depth int) (size int, flaw string) {
	if b[0] == 'L' {
		b[0] = 'l'
	}
	size, flaw = sizeOf(b)
	if flaw != "" {
		return 0, flaw
	}
	switch b[0] {
	case 'F':
		flaw = checkTable(b[5:size], depth+1)
	case 'A':
		flaw = checkList(b[5:size], depth+1)
	}
	return size, flaw
}

// sizeOf returns how much of b, which is not empty, its first value takes with its type.
func sizeOf[T string | []byte](b T) (size int, flaw string) {
	switch b[0] {
	case 'V':
		size = 1
	case 't', 'b', 'B':
		size = 2
	case 's', 'u':
		size = 3
	case 'I', 'i', 'f':
		size = 5
	case 'D':
		size = 6
	case 'l', 'L', 'd', 'T':
		size = 9
	case 'S', 'x', 'F', 'A':
		if len(b) < 5 || uint64(long32(b[1:])) > uint64(len(b)-5) {
			return 0, malformed
		}
		size = 5 + int(long32(b[1:]))
	default:
		return 0, unknownType
	}
	if size > len(b) {
		return 0, malformed
	}
	return size, ""
}

// mayHave reports whether a table has key, or cannot be read so far that it has not. What is nested in it is not
// looked at.
func mayHave[T string | []byte](entries T, key string) bool {
	for len(entries) > 0 {
		name, size := firstEntry(entries)
		if size == 0 || string(name) == key {
			return true
		}
		entries = entries[size:]
	}
	return false
}

// firstEntry returns the key of the first entry and the size of the entry, 0 if it is malformed.
func firstEntry[T string | []byte](entries T) (key T, size int) {
	value := 1 + int(entries[0])
	if value >= len(entries) {
		return key, 0
	}
	size, flaw := sizeOf(entries[value:])
	if flaw != "" {
		return key, 0
	}
	return entries[1:value], value + size
}
