package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The paths that every gateway has. Routes may lie around them, but not on them.
const (
	HealthPath  = "/healthz"
	ReadyPath   = "/readyz"
	OpenAPIPath = "/openapi.json"
)

// endpoint is what a pattern leads to: a route, or one of the gateway's own pages.
type endpoint struct {
	Route // Timeout, MaxBody and MaxReply still as they were configured

	params   []string // names of the path's parameters
	maxBody  int
	maxReply int      // 0: the client's
	in, out  []string // canonical names of headers, in order
	lists    map[string]bool
	slots    slots
	bucket   *bucket // nil: any rate

	page func(*exchange) // of the gateway's own; nil for routes
}

// ServeHTTP does nothing: [http.ServeMux] calls it once it has set the parameters of
// the path, which is all that it is wanted for.
func (*endpoint) ServeHTTP(http.ResponseWriter, *http.Request) {}

var wildcard = regexp.MustCompile(`\{([^{}]*)\}`)

// parsePattern returns the names of the path's parameters.
func parsePattern(pattern string) (params []string, err error) {
	method, rest, blank := strings.Cut(pattern, " ")
	switch {
	case !blank || !token(method):
		return nil, errors.New(`the pattern must be a method, a blank and a path, such as "GET /orders/{id}"`)
	case method != strings.ToUpper(method):
		return nil, fmt.Errorf("the method %.20q must be in capitals", method)
	case method == http.MethodConnect || method == http.MethodTrace:
		return nil, fmt.Errorf("the method %s cannot be served", method)
	case strings.ContainsAny(rest, " \t") || !fieldValue(rest):
		return nil, errors.New("the path has blanks, or bytes that no path has")
	case !strings.HasPrefix(rest, "/"):
		return nil, fmt.Errorf("the path %.60q must begin with a slash; hosts cannot be told apart", rest)
	case strings.HasSuffix(rest, "/"):
		return nil, errors.New("a path that ends in a slash: write {$} after it for this path alone, or {rest...} for all below it")
	case cleanPath(rest) != rest:
		return nil, fmt.Errorf("the path %.60q has empty segments, or dots for segments", rest)
	}
	if err := try(func() { http.NewServeMux().Handle(pattern, &endpoint{}) }); err != nil {
		_, why, _ := strings.Cut(err.Error(), " at offset ")
		_, why, _ = strings.Cut(why, ": ")
		return nil, fmt.Errorf("the pattern cannot be read: %s", why)
	}
	for _, found := range wildcard.FindAllStringSubmatch(rest, -1) {
		name := strings.TrimSuffix(found[1], "...")
		if name == "$" {
			continue
		}
		if !parameterName(name) {
			return nil, fmt.Errorf("the parameter %.60q must have 1 to %d letters of ASCII", name, maxParameter)
		}
		params = append(params, name)
	}
	return params, nil
}

// try returns what fn panics with as an error.
func try(fn func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	fn()
	return nil
}

// cleanPath returns the path without empty segments and without dots for segments.
func cleanPath(p string) string {
	if p == "" {
		return "/"
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// routes are the endpoints by pattern.
type routes struct {
	mux     *http.ServeMux
	methods []string // that any of them has
	list    []*endpoint
}

// compile returns the routes of a Config that has been checked but for conflicts
// of its patterns.
func compile(cfg Config) (*routes, []FieldError) {
	rs := &routes{mux: http.NewServeMux()}
	for path, page := range pages {
		e := &endpoint{Route: Route{Pattern: "GET " + path}, page: page}
		rs.mux.Handle(e.Pattern, e)
	}
	rs.methods = []string{http.MethodGet, http.MethodHead}
	var found []FieldError
	for _, r := range cfg.Routes {
		e := newEndpoint(cfg, r)
		if err := try(func() { rs.mux.Handle(r.Pattern, e) }); err != nil {
			found = append(found, FieldError{Route: r.Pattern, Message: rs.conflict(r.Pattern)})
			continue
		}
		rs.list = append(rs.list, e)
		if method, _, _ := strings.Cut(r.Pattern, " "); !slices.Contains(rs.methods, method) {
			rs.methods = append(rs.methods, method)
		}
	}
	slices.Sort(rs.methods)
	return rs, found
}

// conflict says what a pattern that was refused conflicts with.
func (rs *routes) conflict(pattern string) string {
	for path := range pages {
		if conflicting("GET "+path, pattern) {
			return "the gateway itself answers at " + path
		}
	}
	for _, e := range rs.list {
		if conflicting(e.Pattern, pattern) {
			return fmt.Sprintf("matches what the route %q matches, and neither is the more specific one", e.Pattern)
		}
	}
	return "cannot be added to the other routes"
}

func conflicting(a, b string) bool {
	return try(func() {
		mux := http.NewServeMux()
		mux.Handle(a, &endpoint{})
		mux.Handle(b, &endpoint{})
	}) != nil
}

func newEndpoint(cfg Config, r Route) *endpoint {
	e := &endpoint{Route: r, maxBody: r.MaxBody, maxReply: cmp.Or(r.MaxReply, cfg.MaxReply), lists: map[string]bool{}}
	e.params, _ = parsePattern(r.Pattern)
	switch {
	case r.MaxBody == 0:
		e.maxBody = cfg.MaxBody
	case r.MaxBody < 0:
		e.maxBody = 0
	}
	if !r.Payload.empty() {
		e.maxBody = 0
	}
	e.in, e.out = allowed(cfg.Headers.In, r.Headers.In), allowed(cfg.Headers.Out, r.Headers.Out)
	for _, name := range r.Lists {
		e.lists[name] = true
	}
	e.slots.most = int64(r.Concurrency)
	if r.Rate.PerSecond > 0 {
		e.bucket = newBucket(r.Rate)
	}
	return e
}

// allowed joins allow-lists, in canonical form.
func allowed(lists ...[]string) []string {
	var names []string
	for _, name := range slices.Concat(lists...) {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// find returns the endpoint of a request, nil if there is none. The mux is not asked
// to answer: it would redirect, and in words of its own.
func (rs *routes) find(r *http.Request) *endpoint {
	if !strings.HasPrefix(r.URL.Path, "/") || cleanPath(r.URL.EscapedPath()) != r.URL.EscapedPath() {
		return nil
	}
	h, _ := rs.mux.Handler(r)
	e, _ := h.(*endpoint)
	return e
}

// enter sets the parameters of the path of a request that has an endpoint.
func (rs *routes) enter(w http.ResponseWriter, r *http.Request) { rs.mux.ServeHTTP(w, r) }

// allow returns the methods that the path of a request has.
func (rs *routes) allow(r *http.Request) []string {
	var methods []string
	for _, method := range rs.methods {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if rs.find(other) != nil {
			methods = append(methods, method)
		}
	}
	if len(methods) > 0 && !slices.Contains(methods, http.MethodOptions) {
		methods = append(methods, http.MethodOptions)
	}
	return methods
}
