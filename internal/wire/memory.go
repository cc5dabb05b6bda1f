package wire

import (
	"strings"
	"time"
)

// OwnerQueue is the queue that the one server of a method has whose store is its
// own process's.
func OwnerQueue(method string) string { return "warren.owner." + method }

// MemoryQueue is the queue whose label says which store remembers a method's calls.
func MemoryQueue(method string) string { return "warren.memory." + method }

const birthFormat = "20060102T150405Z"

// EncodeMemory returns the label of a memory: the store's ID, and when it was made,
// to the second. It is short, as the broker cuts what it says of another label.
func EncodeMemory(id string, created time.Time) string {
	return id + "@" + created.UTC().Format(birthFormat)
}

// DecodeMemory reads a label, of which the end may be missing. It returns what there
// is: no ID if that is not whole, and no time either.
func DecodeMemory(label string) (id string, created time.Time) {
	id, birth, whole := strings.Cut(label, "@")
	if !whole {
		return "", time.Time{}
	}
	created, err := time.Parse(birthFormat, birth)
	if err != nil {
		return id, time.Time{}
	}
	return id, created
}
