package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/warren-rpc/warren"
)

// answer is what a reply becomes.
type answer struct {
	status      int
	header      map[string]string // by canonical names
	contentType string
	body        []byte
}

// mapReply maps a reply. What no HTTP message can carry, a status that is none, a
// header with controls, a body where there can be none, is a broken reply.
func (e *endpoint) mapReply(reply *warren.Reply) (answer, *problem) {
	a := answer{status: http.StatusOK, header: map[string]string{}, contentType: reply.ContentType, body: reply.Body}
	if len(reply.Body) == 0 {
		a.status = http.StatusNoContent
	}
	if text, said := reply.Header[headStatus]; said {
		n, err := strconv.Atoi(text)
		if err != nil || len(text) != 3 || n < 200 || n > 599 {
			return a, badReply(reply, "the reply's status is not one from 200 to 599")
		}
		a.status = n
	}
	bodiless := a.status == http.StatusNoContent || a.status == http.StatusResetContent || a.status == http.StatusNotModified
	if bodiless && len(reply.Body) > 0 {
		return a, badReply(reply, "the reply has a body, and a status that cannot have one")
	}
	for key, value := range reply.Header {
		if len(key) <= len(prefixHeader) || !strings.EqualFold(key[:len(prefixHeader)], prefixHeader) {
			continue
		}
		name := http.CanonicalHeaderKey(key[len(prefixHeader):])
		if !slices.Contains(e.out, name) {
			continue
		}
		if _, twice := a.header[name]; twice || !fieldValue(value) {
			return a, badReply(reply, "the reply has a header that cannot be told")
		}
		a.header[name] = value
	}
	if reply.ContentEncoding != "" {
		if !fieldValue(reply.ContentEncoding) {
			return a, badReply(reply, "the reply's content encoding cannot be told")
		}
		a.header["Content-Encoding"] = reply.ContentEncoding
	}
	switch {
	case a.contentType == "" && len(a.body) > 0:
		a.contentType = e.ReplyType
		if a.contentType == "" {
			a.contentType = "application/octet-stream"
		}
	case !fieldValue(a.contentType):
		return a, badReply(reply, "the reply's content type cannot be told")
	}
	return a, nil
}

// deliver answers with a reply.
func (x *exchange) deliver(reply *warren.Reply) *problem {
	x.attempts = reply.Attempts
	a, p := x.route.mapReply(reply)
	if p != nil {
		return p
	}
	for name, value := range a.header {
		if name == "Vary" {
			x.w.Header().Add(name, value)
			continue
		}
		x.w.Header().Set(name, value)
	}
	x.named(reply.CallID, reply.Replayed)
	x.send(a.status, a.contentType, a.body)
	return nil
}
