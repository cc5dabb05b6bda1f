package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/client"
)

// Gateway is an [http.Handler] that calls methods. It may be used concurrently, and
// starts no goroutines. The client stays its maker's, to be closed after it.
type Gateway struct {
	client  *client.Client
	cfg     Config
	routes  *routes
	openAPI []byte
	cors    cors
	slots   slots
	bodies  slots // bytes

	draining atomic.Bool
	requests atomic.Uint64
}

// New returns a gateway over a client. The error is the first [FieldError] of cfg, and
// says how many more there are.
func New(c *client.Client, cfg Config) (*Gateway, error) {
	if c == nil {
		return nil, errors.New("gateway: the client is nil")
	}
	if found := Check(cfg); len(found) > 0 {
		if more := len(found) - 1; more > 0 {
			return nil, fmt.Errorf("%w (and %d more)", found[0], more)
		}
		return nil, found[0]
	}
	cfg = cfg.withDefaults()
	if len(cfg.KeySecret) == 0 && slices.ContainsFunc(cfg.Routes, func(r Route) bool { return r.RequireKey }) {
		cfg.Logger.Warn("the IDs of calls with an Idempotency-Key can be computed by who knows the key: there is no secret for them")
	}
	cfg.Routes, cfg.KeySecret = slices.Clone(cfg.Routes), slices.Clone(cfg.KeySecret)
	for i := range cfg.Routes {
		cfg.Routes[i] = cfg.Routes[i].clone()
	}
	g := &Gateway{client: c, cfg: cfg, slots: slots{most: int64(cfg.Concurrency)}, bodies: slots{most: int64(cfg.MaxBodies)}}
	g.routes, _ = compile(cfg)
	g.cors = newCORS(cfg, g.routes)
	g.openAPI = openAPI(cfg, g.routes)
	return g, nil
}

func (r Route) clone() Route {
	r.Headers = Headers{slices.Clone(r.Headers.In), slices.Clone(r.Headers.Out)}
	r.Query, r.Lists = slices.Clone(r.Query), slices.Clone(r.Lists)
	r.Payload.JSON = maps.Clone(r.Payload.JSON)
	return r
}

// ServeHTTP answers one request. It calls the route's method once; the client may
// make several attempts of the call, as its policy has it. When the caller goes away
// before the call has been sent, it is canceled; after that ServeHTTP returns no sooner
// than the call has ended.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.requests.Add(1)
	x := &exchange{g: g, w: w, r: r, control: http.NewResponseController(w), began: time.Now()}
	defer func() { x.end(recover()) }()
	if p := x.serve(); p != nil {
		x.refuse(p)
	}
}

// Drain says to load balancers, by /readyz, that this gateway is about to stop, and
// has each connection closed after its next answer. Requests are served as before.
// There is no way back.
func (g *Gateway) Drain() { g.draining.Store(true) }

// Stats are figures of a gateway.
type Stats struct {
	Requests uint64 // since it was made
	AtWork   int    // on routes, now, those among them whose callers have gone
}

// Stats returns the figures.
func (g *Gateway) Stats() Stats {
	return Stats{Requests: g.requests.Load(), AtWork: int(g.slots.used.Load())}
}

// pages are the gateway's own, by their paths. They are not authenticated.
var pages = map[string]func(*exchange){
	HealthPath: func(x *exchange) { x.page(http.StatusOK, `{"status":"ok"}`) },
	ReadyPath:  (*exchange).ready,
	OpenAPIPath: func(x *exchange) {
		x.send(http.StatusOK, "application/json", x.g.openAPI)
	},
}

// ready says whether requests should be sent here.
func (x *exchange) ready() {
	if x.g.draining.Load() {
		x.page(http.StatusServiceUnavailable, `{"status":"draining"}`)
		return
	}
	// A context that has ended: the client is asked, and not waited for.
	now, cancel := context.WithCancel(x.r.Context())
	cancel()
	if x.g.client.Ready(now) != nil {
		x.page(http.StatusServiceUnavailable, `{"status":"not connected"}`)
		return
	}
	x.page(http.StatusOK, `{"status":"ready"}`)
}

func (x *exchange) page(status int, body string) {
	x.w.Header().Set("Cache-Control", "no-store")
	x.send(status, "application/json", []byte(body))
}
