package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/warren-rpc/warren"
)

// message is what a request becomes.
type message struct {
	header                       warren.Header
	contentType, contentEncoding string
	body                         []byte
}

// mapRequest maps a request, but for its body, which must have been read. What is too
// long for a message is left to the client, which has its bounds.
func (e *endpoint) mapRequest(r *http.Request, id Identity, body []byte) (message, *problem) {
	m := message{header: warren.Header{
		headMethod: r.Method, headPath: r.URL.EscapedPath(), headRoute: e.Pattern,
	}, body: body}
	if id.Subject != "" {
		m.header[headSubject] = id.Subject
	}
	for name, value := range id.Claims {
		m.header[prefixClaim+name] = value
	}
	params := parameters{}
	for _, name := range e.params {
		params[name] = []string{r.PathValue(name)}
		m.header[prefixParam+name] = r.PathValue(name)
	}
	if err := e.query(r.URL.RawQuery, m.header, params); err != nil {
		return m, err
	}
	for _, values := range params {
		for _, value := range values {
			if !utf8.ValidString(value) {
				return m, refusal(http.StatusBadRequest, ReasonBadParameter, "a parameter is not UTF-8")
			}
		}
	}
	if err := e.headers(r.Header, &m); err != nil {
		return m, err
	}
	addTrace(m.header, r.Header)
	if e.Payload.empty() {
		return m, nil
	}
	return m, e.Payload.fill(&m, params, e.lists)
}

// parameters are those of the path and of the query, by name.
type parameters map[string][]string

// maxQuery bounds the parameters of a query. A message has room for fewer headers.
const maxQuery = 64

func (e *endpoint) query(raw string, header warren.Header, params parameters) *problem {
	if raw == "" {
		return nil
	}
	if strings.Count(raw, "&") >= maxQuery {
		return refusal(http.StatusBadRequest, ReasonBadParameter, "there are more than "+strconv.Itoa(maxQuery)+" query parameters")
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return refusal(http.StatusBadRequest, ReasonBadParameter, "the query cannot be decoded")
	}
	for name, list := range values {
		switch {
		case e.Query != nil && !slices.Contains(e.Query, name) && !e.lists[name]:
			continue
		case !parameterName(name):
			return refusal(http.StatusBadRequest, ReasonBadParameter, fmt.Sprintf(
				"the name of a query parameter is not 1 to %d bytes of printable ASCII without blanks", maxParameter))
		case e.lists[name]:
			text, err := json.Marshal(list)
			if err != nil {
				return refusal(http.StatusBadRequest, ReasonBadParameter, "a query parameter cannot be passed on")
			}
			header[prefixQuery+name] = string(text)
		case len(list) > 1:
			return refusal(http.StatusBadRequest, ReasonBadParameter, "the query parameter "+name+" is there more than once")
		default:
			header[prefixQuery+name] = list[0]
		}
		if _, inPath := params[name]; !inPath { // the path's goes before
			params[name] = list
		}
	}
	return nil
}

// headers maps the request's headers.
func (e *endpoint) headers(h http.Header, m *message) *problem {
	for _, name := range e.in {
		values := h[name]
		if len(values) == 0 {
			continue
		}
		between := ", "
		if name == "Cookie" {
			between = "; "
		}
		value := strings.Join(values, between)
		if !fieldValue(value) {
			return refusal(http.StatusBadRequest, ReasonBadHeader, "the header "+name+" is not text")
		}
		m.header[prefixHeader+strings.ToLower(name)] = value
	}
	for name, field := range map[string]*string{"Content-Type": &m.contentType, "Content-Encoding": &m.contentEncoding} {
		values := h[name]
		if len(values) == 0 {
			continue
		}
		if *field = strings.Join(values, ", "); !fieldValue(*field) || len(*field) > 255 || len(values) > 1 && name == "Content-Type" {
			return refusal(http.StatusBadRequest, ReasonBadHeader, "the header "+name+" is not one text of at most 255 bytes")
		}
	}
	return nil
}

// payloadKinds are the types that members of a payload may have.
var payloadKinds = []string{"string", "integer", "number", "boolean"}

func (p Payload) empty() bool { return p.Text == "" && len(p.JSON) == 0 }

// fill makes the payload.
func (p Payload) fill(m *message, params parameters, lists map[string]bool) *problem {
	m.contentEncoding = ""
	if p.Text != "" {
		values := params[p.Text]
		if len(values) == 0 {
			return refusal(http.StatusBadRequest, ReasonBadParameter, "the query parameter "+p.Text+" is missing")
		}
		m.contentType, m.body = "text/plain; charset=utf-8", []byte(values[0])
		return nil
	}
	object := make(map[string]any, len(p.JSON))
	for name, kind := range p.JSON {
		values, there := params[name]
		if !there {
			continue
		}
		list := make([]any, len(values))
		for i, text := range values {
			value, ok := typed(kind, text)
			if !ok {
				return refusal(http.StatusBadRequest, ReasonBadParameter, fmt.Sprintf("the parameter %s must be of the type %s", name, kind))
			}
			list[i] = value
		}
		if object[name] = any(list); !lists[name] {
			object[name] = list[0]
		}
	}
	body, err := json.Marshal(object)
	if err != nil {
		return refusal(http.StatusBadRequest, ReasonBadParameter, "the parameters cannot be passed on")
	}
	m.contentType, m.body = "application/json", body
	return nil
}

// typed returns the text of a parameter as a value of JSON.
func typed(kind, text string) (any, bool) {
	switch kind {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	case "number":
		var n json.Number
		err := json.Unmarshal([]byte(text), &n)
		return n, err == nil && n != "" && text[0] != '"'
	case "boolean":
		return text == "true", text == "true" || text == "false"
	default:
		return text, true
	}
}

func (x *exchange) hasBody() bool { return x.r.Body != nil && x.r.Body != http.NoBody }

// awaitBody gives the body its time, from now on.
func (x *exchange) awaitBody() {
	x.bodyBy = time.Now().Add(x.g.cfg.BodyTimeout)
	_ = x.control.SetReadDeadline(x.bodyBy)
}

// body reads the request's body, within its bound and its time.
func (x *exchange) body() ([]byte, *problem) {
	most := int64(x.route.maxBody)
	tooLarge := func() *problem {
		x.w.Header().Set("Connection", "close") // what follows is not read
		return refusal(http.StatusRequestEntityTooLarge, warren.ReasonRequestTooLarge,
			"the body may have at most "+strconv.FormatInt(most, 10)+" bytes here")
	}
	if x.r.ContentLength > most {
		return nil, tooLarge()
	}
	if !x.hasBody() {
		return nil, nil
	}
	x.awaitBody()
	if x.r.ProtoMajor == 1 {
		// To read may be to write 100 Continue, to one who reads nothing.
		_ = x.control.SetWriteDeadline(time.Now().Add(x.g.cfg.WriteTimeout))
	}
	meter := &metered{from: http.MaxBytesReader(x.w, x.r.Body, most), slots: &x.g.bodies}
	body, err := io.ReadAll(meter)
	x.received, x.held = len(body), meter.taken
	if err == nil {
		x.unread = false
		// One that passed later would be taken for the caller's going away.
		_ = x.control.SetReadDeadline(time.Time{})
		return body, nil
	}
	x.w.Header().Set("Connection", "close")
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge()
	case errors.Is(err, errFull):
		return nil, full("the gateway has too many bytes of requests at work")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refusal(http.StatusRequestTimeout, ReasonBodyTimeout, "the body did not arrive in time")
	case x.r.Context().Err() != nil:
		return nil, x.gone()
	default:
		return nil, refusal(http.StatusBadRequest, ReasonBodyIncomplete, "the body ended before its end, or is not as its headers say")
	}
}
