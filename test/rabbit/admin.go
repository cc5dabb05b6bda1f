package rabbit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
)

// actor is whom the broker's log names as the author of what this package does.
const actor = `<<"warren">>`

// AddVHost makes a virtual host on which guest may do everything, and returns
// its URL. It is an error if the host exists.
func (n *Node) AddVHost(ctx context.Context, name string) (string, error) {
	host := erlBinary(name)
	_, err := n.control.eval(ctx, fmt.Sprintf(
		`false = rabbit_vhost:exists(%s),
		ok = rabbit_vhost:add(%s, %s),
		ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, %s, <<".*">>, <<".*">>, <<".*">>, %s).`,
		host, host, actor, host, actor))
	if err != nil {
		return "", fmt.Errorf("rabbit: add virtual host %q: %w", name, err)
	}
	return n.URLAs("guest", "guest", name), nil
}

// DeleteVHost removes a virtual host with all that is in it and closes the
// connections to it. It is an error if the host does not exist.
func (n *Node) DeleteVHost(ctx context.Context, name string) error {
	_, err := n.control.eval(ctx, fmt.Sprintf(`ok = rabbit_vhost:delete(%s, %s).`, erlBinary(name), actor))
	if err != nil {
		return fmt.Errorf("rabbit: delete virtual host %q: %w", name, err)
	}
	return nil
}

// AddUser makes a user that may enter one virtual host, with the permissions
// that the three regular expressions give: on the names of what it may declare
// and delete, publish to and bind, consume from. An empty expression grants
// nothing. It is an error if the user exists.
func (n *Node) AddUser(ctx context.Context, user, password, vhost, configure, write, read string) error {
	_, err := n.control.eval(ctx, fmt.Sprintf(
		`ok = rabbit_auth_backend_internal:add_user(%s, %s, %s),
		ok = rabbit_auth_backend_internal:set_permissions(%s, %s, %s, %s, %s, %s).`,
		erlBinary(user), erlBinary(password), actor,
		erlBinary(user), erlBinary(vhost), erlBinary(configure), erlBinary(write), erlBinary(read), actor))
	if err != nil {
		return fmt.Errorf("rabbit: add user %q: %w", user, err)
	}
	return nil
}

// SetPassword changes the password of a user. Connections that stand are not closed.
func (n *Node) SetPassword(ctx context.Context, user, password string) error {
	_, err := n.control.eval(ctx, fmt.Sprintf(`ok = rabbit_auth_backend_internal:change_password(%s, %s, %s).`,
		erlBinary(user), erlBinary(password), actor))
	if err != nil {
		return fmt.Errorf("rabbit: set the password of %q: %w", user, err)
	}
	return nil
}

// LimitVHost sets the limits of a virtual host, for example {"max-queues": 3}, in
// place of those that it has.
func (n *Node) LimitVHost(ctx context.Context, vhost string, limits map[string]int) error {
	definition, err := json.Marshal(limits)
	if err == nil {
		_, err = n.control.eval(ctx, fmt.Sprintf(`ok = rabbit_vhost_limit:parse_set(%s, %s, %s).`,
			erlBinary(vhost), erlBinary(string(definition)), actor))
	}
	if err != nil {
		return fmt.Errorf("rabbit: limit virtual host %q: %w", vhost, err)
	}
	return nil
}

// LimitUser sets the limits of a user, for example {"max-channels": 3}.
func (n *Node) LimitUser(ctx context.Context, user string, limits map[string]int) error {
	definition, err := json.Marshal(limits)
	if err == nil {
		_, err = n.control.eval(ctx, fmt.Sprintf(`ok = rabbit_auth_backend_internal:set_user_limits(%s, %s, %s).`,
			erlBinary(user), erlBinary(string(definition)), actor))
	}
	if err != nil {
		return fmt.Errorf("rabbit: limit user %q: %w", user, err)
	}
	return nil
}

// URLAs is the address of a virtual host with a user's credentials. It asks
// nothing of the broker: neither need exist.
func (n *Node) URLAs(user, password, vhost string) string {
	return "amqp://" + url.UserPassword(user, password).String() + "@" + n.Addr() + "/" + url.PathEscape(vhost)
}

// Policy sets properties of queues or exchanges from the broker's side.
type Policy struct {
	VHost string // the virtual host; "/" is the default one, "" none
	Name  string // unique in the virtual host; the same name replaces
	// Pattern is a regular expression on the names that the policy applies to.
	Pattern string
	// Definition holds the properties, for example {"message-ttl": 1000}.
	Definition map[string]any
	// ApplyTo is "queues", "exchanges" or "all". Default: "all".
	ApplyTo  string
	Priority int // the highest of those that match applies, alone
}

// SetPolicy makes or replaces a policy. Queues that exist come under it a
// moment after SetPolicy has returned.
func (n *Node) SetPolicy(ctx context.Context, p Policy) error {
	definition, err := json.Marshal(p.Definition)
	if err != nil {
		return fmt.Errorf("rabbit: set policy %q: %w", p.Name, err)
	}
	if p.ApplyTo == "" {
		p.ApplyTo = "all"
	}
	_, err = n.control.eval(ctx, fmt.Sprintf(`ok = rabbit_policy:parse_set(%s, %s, %s, %s, %d, %s, %s).`,
		erlBinary(p.VHost), erlBinary(p.Name), erlBinary(p.Pattern), erlBinary(string(definition)),
		p.Priority, erlBinary(p.ApplyTo), actor))
	if err != nil {
		return fmt.Errorf("rabbit: set policy %q: %w", p.Name, err)
	}
	return nil
}

// MemoryAlarm raises or clears the alarm that the broker raises when it runs
// out of memory: publishing connections are blocked meanwhile. It is in force
// when MemoryAlarm returns, and gone after a restart.
func (n *Node) MemoryAlarm(ctx context.Context, on bool) error { return n.alarm(ctx, "memory", on) }

// DiskAlarm does the same as MemoryAlarm with the alarm for a full disk.
func (n *Node) DiskAlarm(ctx context.Context, on bool) error { return n.alarm(ctx, "disk", on) }

// alarm tells the broker's alarm handler what its monitors would tell it. Their
// thresholds are left alone: they act only at their next look, seconds later.
// The monitors report changes only, so they do not take the alarm back.
func (n *Node) alarm(ctx context.Context, resource string, on bool) error {
	act := fmt.Sprintf("rabbit_alarm:clear_alarm({resource_limit, %s, node()})", resource)
	if on {
		act = fmt.Sprintf("rabbit_alarm:set_alarm({{resource_limit, %s, node()}, []})", resource)
	}
	// The handler's queue is in order: once it has answered, it has acted.
	_, err := n.control.eval(ctx, act+", rabbit_alarm:get_alarms().")
	if err != nil {
		return fmt.Errorf("rabbit: %s alarm: %w", resource, err)
	}
	return nil
}
