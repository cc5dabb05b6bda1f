package interop

import (
	"net/url"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// refusals are what the libraries make of the brokers' words, about a wrong
// password and about a virtual host that does not exist: parts of the lines.
var refusals = map[string][2]string{
	"pika": {
		"ConnectionClosedByBroker: (403) 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. " +
			"For details see the broker logfile.'",
		"ConnectionClosedByBroker: (530) 'NOT_ALLOWED - vhost nowhere not found'",
	},
	"amqplib": {
		`403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. ` +
			`For details see the broker logfile."`,
		"Expected ConnectionOpenOk; got <ConnectionClose channel:0>",
	},
	"amqp091-go": {
		`Exception (403) Reason: "username or password not allowed"`,
		`Exception (530) Reason: "NOT_ALLOWED - vhost nowhere not found"`,
	},
}

func TestPeersAreToldWhyTheyAreNotLetIn(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, address string) {
		wrongPassword, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		noVHost := *wrongPassword
		wrongPassword.User = url.UserPassword("guest", "wrong")
		noVHost.Path = "/nowhere"
		urls := []string{wrongPassword.String(), noVHost.String()}
		for name, text := range map[string]string{
			"pika":       printed(t, pika, "refused", urls...),
			"amqplib":    printed(t, amqplib, "refused", urls...),
			"amqp091-go": refusedByGo(urls),
		} {
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if want := refusals[name]; len(lines) != 2 || !strings.Contains(lines[0], want[0]) || !strings.Contains(lines[1], want[1]) {
				t.Errorf("%s printed %q, want lines with %q", name, lines, want)
			}
		}
	})
}

// refusedByGo is peers/*/refused.* in plain amqp091-go.
func refusedByGo(urls []string) string {
	var said strings.Builder
	for _, url := range urls {
		conn, err := amqp.Dial(url)
		if err == nil {
			_ = conn.Close()
			continue
		}
		said.WriteString(err.Error() + "\n")
	}
	return said.String()
}
