package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// managementURL returns what --management says, nil if nothing.
func managementURL(cmd *cli.Command) (*url.URL, error) {
	text := cmd.String("management")
	if text == "" {
		return nil, nil
	}
	if wrong := wrongManagement(text); wrong != "" {
		return nil, usageError(cmd, "--management: %s", wrong)
	}
	return url.Parse(text)
}

// exposes reports whether the broker's own password, which amqps hides, would be
// readable on the way to the API.
func exposes(api *url.URL, settings warren.Broker) bool {
	here := api.Hostname() == "localhost" || net.ParseIP(api.Hostname()).IsLoopback()
	return api.User == nil && api.Scheme == "http" && !here && strings.HasPrefix(strings.ToLower(settings.URLs[0]), "amqps:")
}

// management looks at queues through RabbitMQ's management API.
type management struct {
	base, user, password string
	vhost                string
	all                  bool
	http                 http.Client
}

func newManagement(api *url.URL, settings warren.Broker, timeout time.Duration, all bool) *management {
	broker := brokerOf(settings)
	m := &management{user: broker.Username, password: broker.Password, vhost: broker.Vhost, all: all}
	if api.User != nil {
		m.user = api.User.Username()
		m.password, _ = api.User.Password()
	}
	address := *api
	address.User = nil
	m.base = address.JoinPath("api", "queues", url.PathEscape(m.vhost)).String()
	m.http = http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: settings.TLS.Clone()},
		// The password is for this address alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return m
}

func (m *management) close() { m.http.CloseIdleConnections() }

const (
	// pageSize is what the API gives at most.
	pageSize = 500
	// maxPage bounds the answer of one page.
	maxPage = 16 << 20
	// maxPages bounds what is listed.
	maxPages = 200

	queueColumns = "name,type,state,messages_ready,messages_unacknowledged,consumers,leader,node,memory," +
		"message_stats.publish_details.rate,message_stats.deliver_get_details.rate"
)

// apiQueue is a queue as the API has it. What it has no figure of yet is left out.
type apiQueue struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	State     string `json:"state"`
	Ready     int    `json:"messages_ready"`
	Unacked   int    `json:"messages_unacknowledged"`
	Consumers int    `json:"consumers"`
	Leader    string `json:"leader"` // of a quorum queue
	Node      string `json:"node"`
	Memory    int64  `json:"memory"`
	Stats     struct {
		In  apiRate `json:"publish_details"`
		Out apiRate `json:"deliver_get_details"`
	} `json:"message_stats"`
}

type apiRate struct {
	Rate float64 `json:"rate"`
}

func (m *management) look(ctx context.Context, names []string) (*queueList, error) {
	found := map[string]apiQueue{}
	for page := 1; page <= maxPages; page++ {
		var answer struct {
			Pages int        `json:"page_count"`
			Items []apiQueue `json:"items"`
		}
		if err := m.get(ctx, page, &answer); err != nil {
			if ctx.Err() != nil {
				return nil, interrupted()
			}
			return nil, err
		}
		for _, q := range answer.Items {
			found[q.Name] = q
		}
		if page >= answer.Pages {
			break
		}
	}
	list := &queueList{Source: "management", VHost: m.vhost, Queues: []*queueRow{}}
	if len(names) == 0 {
		names, list.Hidden = m.choose(found)
	}
	for _, name := range names {
		list.Queues = append(list.Queues, newQueueRow(name, found))
	}
	return list, nil
}

// choose returns what is listed without names, and counts the rest. A dead queue
// belongs to its method, whether that has a queue or not.
func (m *management) choose(found map[string]apiQueue) (names []string, hidden int) {
	listed := map[string]bool{}
	for name := range found {
		method := strings.TrimSuffix(name, wire.DeadQueue(""))
		switch {
		case warren.CheckMethod(method) == nil:
			listed[method] = true
		case m.all:
			listed[name] = true
		default:
			hidden++
		}
	}
	for name := range listed {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, hidden
}

func newQueueRow(name string, found map[string]apiQueue) *queueRow {
	row := &queueRow{Name: name}
	q, ok := found[name]
	if ok {
		row.Exists, row.Ready, row.Consumers = true, q.Ready, q.Consumers
		row.queueDetails = &queueDetails{
			Unacked: q.Unacked, InPerSecond: q.Stats.In.Rate, OutPerSecond: q.Stats.Out.Rate,
			Type: q.Type, State: q.State, Leader: q.Leader, MemoryBytes: q.Memory,
		}
		if q.Leader == "" {
			row.Leader = q.Node
		}
	}
	if dead, ok := found[wire.DeadQueue(name)]; ok {
		parked := dead.Ready + dead.Unacked // who looks at one holds it
		row.Dead = &parked
	}
	return row
}

// get asks for one page. Its errors name no user and no password.
func (m *management) get(ctx context.Context, page int, answer any) error {
	query := url.Values{"page": {strconv.Itoa(page)}, "page_size": {strconv.Itoa(pageSize)}, "columns": {queueColumns}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.base+"?"+query.Encode(), nil)
	if err != nil {
		return exit(exitUsage, "--management: %w", err)
	}
	req.SetBasicAuth(m.user, m.password)
	resp, err := m.http.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err
			if failed.Timeout() {
				return exit(exitDeadline, "the management API at %s has not answered within %v", req.Host, m.http.Timeout)
			}
		}
		return advise(exit(exitBroker, "the management API at %s: %w", req.Host, err),
			"`rabbitmq-plugins enable rabbitmq_management` turns it on; without --management AMQP tells of methods that are named")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return exit(exitBroker, "the management API at %s: %s", req.Host, m.refusal(resp))
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxPage)).Decode(answer); err != nil {
		return exit(exitBroker, "the management API at %s: its answer cannot be read: %w", req.Host, err)
	}
	return nil
}

// refusal says what a status means.
func (m *management) refusal(resp *http.Response) string {
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Sprintf("%s: user %q is unknown there, or lacks the tag management or the virtual host %q", resp.Status, m.user, m.vhost)
	case http.StatusNotFound:
		return fmt.Sprintf("%s: there is no virtual host %q, or this is no management API", resp.Status, m.vhost)
	}
	return resp.Status
}
