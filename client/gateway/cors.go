package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cors is what pages of other origins are told.
type cors struct {
	origins          map[string]bool
	any, credentials bool
	headers, expose  string
	maxAge           string
	configured       bool
}

func newCORS(cfg Config, rs *routes) cors {
	c := cors{origins: map[string]bool{}, credentials: cfg.CORS.Credentials, configured: len(cfg.CORS.Origins) > 0}
	for _, origin := range cfg.CORS.Origins {
		c.origins[origin] = true
	}
	c.any = c.origins["*"]
	in, out := cfg.CORS.Headers, []string{headerReplay, headerCall, "Retry-After"}
	if len(in) == 0 {
		in = []string{"Authorization", "Content-Type", headerKey, headerTimeout, "Traceparent", "Tracestate", "Baggage"}
		for _, e := range rs.list {
			in = append(in, e.in...)
		}
	}
	for _, e := range rs.list {
		out = append(out, e.out...)
	}
	c.headers, c.expose = strings.Join(allowed(in), ", "), strings.Join(allowed(out), ", ")
	c.maxAge = strconv.Itoa(int(max(cfg.CORS.MaxAge, 0) / time.Second))
	return c
}

// allowOrigin tells a browser what a page of another origin may do, and reports
// whether that was all that it asked. What is not allowed is kept from the page by
// the browser; the request is served all the same, as it is for those that are none.
func (x *exchange) allowOrigin() (answered bool) {
	c, h := &x.g.cors, x.w.Header()
	if !c.configured {
		return false
	}
	h.Add("Vary", "Origin")
	origins := x.r.Header.Values("Origin")
	if len(origins) != 1 || !c.any && !c.origins[origins[0]] {
		return false
	}
	asked := x.r.Header.Get("Access-Control-Request-Method")
	preflight := x.r.Method == http.MethodOptions && asked != ""
	var methods []string
	if preflight {
		if methods = x.g.routes.allow(x.r); !slices.Contains(methods, asked) {
			return false
		}
	}
	if c.any {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", origins[0])
	}
	if c.credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if !preflight {
		h.Set("Access-Control-Expose-Headers", c.expose)
		return false
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	h.Set("Access-Control-Allow-Headers", c.headers)
	h.Set("Access-Control-Max-Age", c.maxAge)
	x.send(http.StatusNoContent, "", nil)
	return true
}
