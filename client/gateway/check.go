package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
)

// FieldError is something wrong with a [Config].
type FieldError struct {
	// Route is the pattern of the route that it is about, or empty.
	Route string
	// Field is what is wrong, as files call it: "timeout", "headers.in", "cors.origins".
	// It is empty if it is the pattern.
	Field   string
	Message string
}

// Error returns it on one line.
func (m FieldError) Error() string {
	text := m.Message
	if m.Field != "" {
		text = m.Field + ": " + text
	}
	if m.Route != "" {
		text = "route " + m.Route + ": " + text
	}
	return "gateway: " + text
}

// Check returns what is wrong with cfg: nothing if [New] takes it.
func Check(cfg Config) []FieldError {
	c := checker{cfg: cfg.withDefaults()}
	c.top()
	c.cors()
	for i := range cfg.Routes {
		c.route(&cfg.Routes[i])
	}
	if len(c.found) == 0 {
		_, c.found = compile(c.cfg)
	}
	return c.found
}

type checker struct {
	cfg   Config
	found []FieldError
}

func (c *checker) add(route, field, format string, args ...any) {
	c.found = append(c.found, FieldError{route, field, fmt.Sprintf(format, args...)})
}

func within[T int | float64 | time.Duration](c *checker, route, field string, value, least, most T) {
	if value < least || value > most {
		c.add(route, field, "is %v; it must be from %v to %v", value, least, most)
	}
}

func (c *checker) top() {
	if len(c.cfg.Routes) == 0 {
		c.add("", "routes", "there are none")
	}
	within(c, "", "max_body", c.cfg.MaxBody, 1, 128<<20)
	within(c, "", "max_reply", c.cfg.MaxReply, 0, 128<<20)
	within(c, "", "max_bodies", c.cfg.MaxBodies, min(max(c.cfg.MaxBody, 1), 1<<30), 1<<30)
	within(c, "", "concurrency", c.cfg.Concurrency, 1, 1_000_000)
	within(c, "", "body_timeout", c.cfg.BodyTimeout, time.Millisecond, time.Hour)
	within(c, "", "write_timeout", c.cfg.WriteTimeout, time.Millisecond, time.Hour)
	c.headers("", c.cfg.Headers)
	switch n := len(c.cfg.KeySecret); {
	case n > 0:
		within(c, "", "key_secret", n, minSecret, maxSecret)
	case c.cfg.Authenticate != nil:
		c.add("", "key_secret", "is missing: callers are told apart, and without a secret the IDs of their calls can be computed")
	}
	if !fieldValue(c.cfg.Challenge) {
		c.add("", "challenge", "has bytes that no header can have")
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Schemas)) {
		field := "schemas." + name
		if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "" || name == "" {
			c.add("", field, "has a name that is not made of [A-Za-z0-9._-]")
		}
		c.schema("", field, c.cfg.Schemas[name])
	}
}

func (c *checker) cors() {
	cors := c.cfg.CORS
	for _, origin := range cors.Origins {
		if origin != "*" && !validOrigin(origin) {
			c.add("", "cors.origins", "%.60q is not an origin as browsers send it, such as https://shop.example: "+
				"in lower case, without a path, a star or the scheme's own port", origin)
		}
	}
	if cors.Credentials && slices.Contains(cors.Origins, "*") {
		c.add("", "cors.credentials", `cannot go with the origin "*": every page could act as its reader`)
	}
	if len(cors.Origins) == 0 && (cors.Credentials || len(cors.Headers) > 0) {
		c.add("", "cors.origins", "there are none, and so the rest says nothing")
	}
	for _, name := range cors.Headers {
		if !token(name) {
			c.add("", "cors.headers", "%.60q is not the name of a header", name)
		}
	}
	if cors.MaxAge > 24*time.Hour {
		c.add("", "cors.max_age", "is %v; it must be at most 24h", cors.MaxAge)
	}
}

// validOrigin reports whether a browser can send s as an Origin: one that it cannot
// would never match.
func validOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || s != u.Scheme+"://"+u.Host {
		return false
	}
	ownPort := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	strange := func(r rune) bool { return r == '*' || r <= ' ' || r > '~' || r >= 'A' && r <= 'Z' }
	return ownPort != "" && u.Port() != ownPort && !strings.HasSuffix(u.Host, ":") && strings.IndexFunc(u.Host, strange) < 0
}

func (c *checker) headers(route string, h Headers) {
	for _, name := range h.In {
		if why := refusedIn(name); why != "" {
			c.add(route, "headers.in", "%.60q %s", name, why)
		}
	}
	for _, name := range h.Out {
		if why := refusedOut(name); why != "" {
			c.add(route, "headers.out", "%.60q %s", name, why)
		}
	}
}

func (c *checker) route(r *Route) {
	name := r.Pattern
	params, err := parsePattern(r.Pattern)
	if err != nil {
		c.add(name, "", "%s", err)
	}
	if err := warren.CheckMethod(r.Method); err != nil {
		c.add(name, "method", "%s", strings.TrimPrefix(err.Error(), "warren: "))
	}
	within(c, name, "timeout", r.Timeout, 0, 24*time.Hour)
	within(c, name, "max_body", r.MaxBody, -1, min(128<<20, max(c.cfg.MaxBodies, 0)))
	within(c, name, "max_reply", r.MaxReply, 0, 128<<20)
	within(c, name, "concurrency", r.Concurrency, 0, 1_000_000)
	within(c, name, "rate.per_second", r.Rate.PerSecond, 0, 1_000_000)
	within(c, name, "rate.burst", r.Rate.Burst, 0, 1_000_000)
	if r.Rate.Burst > 0 && r.Rate.PerSecond == 0 || math.IsNaN(r.Rate.PerSecond) {
		c.add(name, "rate.per_second", "is not there, and so the burst says nothing")
	}
	c.headers(name, r.Headers)
	for field, names := range map[string][]string{"query": r.Query, "lists": r.Lists} {
		for _, parameter := range names {
			if !parameterName(parameter) {
				c.add(name, field, "%.60q cannot be a parameter: its name must be 1 to %d bytes of printable ASCII without blanks",
					parameter, maxParameter)
			}
		}
	}
	c.payload(r, params)
	if r.ReplyType != "" {
		if _, _, err := mime.ParseMediaType(r.ReplyType); err != nil || !strings.Contains(r.ReplyType, "/") || !fieldValue(r.ReplyType) {
			c.add(name, "reply_type", "%.60q is not a content type", r.ReplyType)
		}
	}
	c.schema(name, "request", r.Request)
	c.schema(name, "reply", r.Reply)
}

func (c *checker) payload(r *Route, params []string) {
	p := r.Payload
	if p.Text != "" && len(p.JSON) > 0 {
		c.add(r.Pattern, "payload", "is a text and an object at once")
	}
	known := func(name string) bool {
		return slices.Contains(params, name) || r.Query == nil || slices.Contains(r.Query, name) || slices.Contains(r.Lists, name)
	}
	if p.Text != "" && (!known(p.Text) || !parameterName(p.Text) || slices.Contains(r.Lists, p.Text)) {
		c.add(r.Pattern, "payload", "%.60q is neither a parameter of the path nor a single one of the query", p.Text)
	}
	for _, name := range slices.Sorted(maps.Keys(p.JSON)) {
		if !known(name) || !parameterName(name) {
			c.add(r.Pattern, "payload", "%.60q is no parameter of the path or of the query", name)
		}
		if kind := p.JSON[name]; !slices.Contains(payloadKinds, kind) {
			c.add(r.Pattern, "payload", "%.60q is %.60q; it must be %s", name, kind, strings.Join(payloadKinds, ", "))
		}
	}
}

const componentPrefix = "#/components/schemas/"

// schema checks what can be checked of a schema without knowing JSON Schema.
func (c *checker) schema(route, field string, raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		c.add(route, field, "is not JSON: %v", err)
		return
	}
	switch v := value.(type) {
	case map[string]any, bool:
	case string:
		if !fieldValue(v) || v == "" {
			c.add(route, field, "%.60q is not a reference", v)
		}
	default:
		c.add(route, field, "is not a schema: it must be an object, a boolean, or a text, which is a $ref")
	}
	eachRef(value, func(ref string) {
		if name, own := strings.CutPrefix(ref, componentPrefix); own {
			if _, there := c.cfg.Schemas[name]; !there {
				c.add(route, field, "refers to %.80q, and there is no such schema", ref)
			}
		}
	})
}

// eachRef calls fn with every $ref of a schema.
func eachRef(value any, fn func(ref string)) {
	switch v := value.(type) {
	case string:
		fn(v)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			switch element := v[key].(type) {
			case string:
				if key == "$ref" {
					fn(element)
				}
			default:
				eachRef(element, fn)
			}
		}
	case []any:
		for _, element := range v {
			if _, text := element.(string); !text {
				eachRef(element, fn)
			}
		}
	}
}
