package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// restricted opens a session of a user who may configure what begins with c,
// write to what has a w in its name and read from what has an r.
func restricted(t *testing.T, target Target) (admin, user *session, name string) {
	t.Helper()
	admin = begin(t, target)
	name = "user-" + vhostOf(t, admin.url)
	user = dial(t, target.AddUser(t, admin.url, name, "^c", "^(.w|w|amq\\.direct)", "r$"))
	for _, queue := range []string{"none", "w", "r", "wr", "c"} {
		admin.queue(queue, nil)
		admin.exchange("x"+queue, "direct", nil)
		admin.exchange(queue, "direct", nil)
	}
	return admin, user, name
}

var permissionChecks = []check{
	{"what permissions refuse", func(t *testing.T, target Target) {
		_, user, name := restricted(t, target)
		for _, row := range []struct {
			text string
			act  func(*session) error
		}{
			{"queue 'new'", func(s *session) error {
				_, err := s.QueueDeclare("new", true, false, false, false, nil)
				return err
			}},
			{"queue 'none'", func(s *session) error {
				_, err := s.QueueDeclare("none", true, false, false, false, nil)
				return err
			}},
			{"queue 'none'", func(s *session) error {
				_, err := s.QueueDelete("none", false, false, false)
				return err
			}},
			{"exchange 'none'", func(s *session) error {
				return s.ExchangeDeclare("none", "direct", true, false, false, false, nil)
			}},
			{"exchange 'none'", func(s *session) error { return s.ExchangeDelete("none", false, false) }},
			{"queue 'none'", func(s *session) error {
				_, err := s.Consume("none", "", true, false, false, false, nil)
				return err
			}},
			{"queue 'w'", func(s *session) error {
				_, _, err := s.Get("w", true)
				return err
			}},
			{"queue 'w'", func(s *session) error {
				_, err := s.QueuePurge("w", false)
				return err
			}},
			{"queue 'r'", func(s *session) error { return s.QueueBind("r", "k", "r", false, nil) }},
			{"exchange 'w'", func(s *session) error { return s.QueueBind("w", "k", "w", false, nil) }},
			{"queue 'r'", func(s *session) error { return s.QueueUnbind("r", "k", "r", nil) }},
			{"exchange 'r'", func(s *session) error { return s.ExchangeBind("r", "k", "r", false, nil) }},
			{"exchange 'w'", func(s *session) error { return s.ExchangeBind("w", "k", "w", false, nil) }},
			{"queue 'cx'", func(s *session) error { // a queue that dead-letters is read from
				_, err := s.QueueDeclare("cx", true, false, false, false, amqp.Table{"x-dead-letter-exchange": "w"})
				return err
			}},
			{"exchange 'r'", func(s *session) error { // and its exchange written to
				_, err := s.QueueDeclare("cr", true, false, false, false, amqp.Table{"x-dead-letter-exchange": "r"})
				return err
			}},
			{"exchange 'cx'", func(s *session) error {
				return s.ExchangeDeclare("cx", "direct", true, false, false, false, amqp.Table{"alternate-exchange": "w"})
			}},
			{"exchange 'r'", func(s *session) error {
				return s.ExchangeDeclare("cr", "direct", true, false, false, false, amqp.Table{"alternate-exchange": "r"})
			}},
		} {
			s := user.channel()
			s.refused(row.act(s), 403, "ACCESS_REFUSED - access to "+row.text+" in vhost 'VHOST' refused for user '"+name+"'")
		}
		for exchange, shown := range map[string]string{"r": "r", "": "amq.default"} {
			s := user.channel()
			s.ok(s.Publish(exchange, "w", false, false, amqp.Publishing{}))
			s.closes(403, "ACCESS_REFUSED - access to exchange '"+shown+"' in vhost 'VHOST' refused for user '"+name+"'")
		}
	}},
	{"what permissions allow", func(t *testing.T, target Target) {
		admin, s, _ := restricted(t, target)
		s.counts("none") // a passive declare needs none
		s.ok(s.ExchangeDeclarePassive("none", "direct", true, false, false, false, nil))
		s.queue("cr", amqp.Table{"x-dead-letter-exchange": "w"})
		s.queue("c2", nil)
		s.exchange("cr", "direct", amqp.Table{"alternate-exchange": "w"})
		s.exchange("c2", "direct", nil)
		s.bind("w", "k", "r", nil)
		s.bind("w", "k", "cr", nil)
		s.ok(s.ExchangeBind("w", "k", "r", false, nil))
		admin.bind("wr", "k", "w", nil)
		s.publish("w", "k", "m")
		s.holds("wr", "m")
		s.ok(s.QueueUnbind("w", "k", "r", nil))
		s.ok(s.ExchangeUnbind("w", "k", "r", false, nil))
		_, err := s.QueueDelete("c2", false, false, false)
		s.ok(err)
		s.ok(s.ExchangeDelete("c2", false, false))
	}},
	{"default exchange is amq.default to permissions", func(t *testing.T, target Target) {
		admin := begin(t, target)
		s := dial(t, target.AddUser(t, admin.url, "only-"+vhostOf(t, admin.url), "", "^amq\\.default$", ""))
		admin.queue("q", nil)
		s.publish("", "q", "m")
		admin.holds("q", "m")
	}},
	{"permission to a name that the broker chooses is to amq.gen-", func(t *testing.T, target Target) {
		admin := begin(t, target)
		s := dial(t, target.AddUser(t, admin.url, "gen-"+vhostOf(t, admin.url), "^amq\\.gen", "", ""))
		s.queue("", nil)
		_, err := s.QueueDeclare("q", true, false, false, false, nil)
		s.refused(err, 403, "ACCESS_REFUSED - access to queue 'q' in vhost 'VHOST' refused for user '"+"gen-"+vhostOf(t, admin.url)+"'")
	}},
}
