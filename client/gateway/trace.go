package gateway

import (
	"net/http"
	"strings"

	"github.com/warren-rpc/warren"
)

// Bounds of what is passed on of trace context; W3C's own are no lower.
const (
	maxTraceState = 512
	maxBaggage    = 4096
)

// addTrace passes on trace context. What is not valid is left out: a trace that
// begins anew is better than a request that fails for it.
func addTrace(header warren.Header, h http.Header) {
	if parents := h.Values("Traceparent"); len(parents) == 1 && traceParent(parents[0]) {
		header["traceparent"] = parents[0]
		if state := strings.Join(h.Values("Tracestate"), ","); state != "" && len(state) <= maxTraceState && printable(state) {
			header["tracestate"] = state
		}
	}
	if baggage := strings.Join(h.Values("Baggage"), ","); baggage != "" && len(baggage) <= maxBaggage && printable(baggage) {
		header["baggage"] = baggage
	}
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return (r < ' ' || r > '~') && r != '\t' }) < 0
}

// traceParent reports whether s is a traceparent: version 00, or a later one that
// begins as it does.
func traceParent(s string) bool {
	if len(s) < 55 || len(s) > 128 || s[:2] == "ff" || s[:2] == "00" && len(s) != 55 || len(s) > 55 && s[55] != '-' || !printable(s) {
		return false
	}
	parts := strings.Split(s[:55], "-")
	return len(parts) == 4 && hexed(parts[0], 2) && hexed(parts[1], 32) && hexed(parts[2], 16) && hexed(parts[3], 2) &&
		strings.Trim(parts[1], "0") != "" && strings.Trim(parts[2], "0") != ""
}

func hexed(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == ""
}
