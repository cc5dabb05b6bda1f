package amqptest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/test/amqptest/internal/vhost"
)

// Broker is a running broker. Its methods are safe for concurrent use.
type Broker struct {
	options  Options
	listener net.Listener // nil: there is none
	closed   chan struct{}
	closing  sync.Once
	running  sync.WaitGroup // the listener's goroutine and those of the connections
	effects  sync.WaitGroup // what faults run besides
	restart  sync.Mutex     // one restart at a time

	mu       sync.Mutex
	down     bool
	accepted int
	conns    map[*conn]struct{}
	hosts    map[string]*vhost.Host
	accounts map[string]*account

	alarms
	faults    faults
	receiving atomic.Int64 // bytes of bodies that have come so far of messages that are not complete
}

// Start starts a broker for a program. It fails if an option is out of its
// bounds or the address cannot be listened on. Close ends it.
func Start(options Options) (*Broker, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		options: options, closed: make(chan struct{}),
		conns: map[*conn]struct{}{}, hosts: map[string]*vhost.Host{}, accounts: map[string]*account{},
	}
	if err := b.equip(&options); err != nil {
		return nil, err
	}
	for name, user := range options.Users {
		if b.accounts[name], err = newAccount(name, user); err != nil {
			return nil, err
		}
	}
	for _, name := range options.VHosts {
		b.AddVHost(name)
	}
	if options.Listen == noListener {
		return b, nil
	}
	if b.listener, err = net.Listen("tcp", options.Listen); err != nil {
		return nil, fmt.Errorf("amqptest: %w", err)
	}
	b.running.Add(1)
	go b.accept()
	return b, nil
}

// closeGrace is how long Close and CloseConnections wait for clients to answer.
const closeGrace = time.Second

// Close ends the broker: connections are closed with 320 as by a broker that
// shuts down, and after a second at most without a word. It returns when all the
// broker's goroutines have ended, those of faults included; so a fault's
// function must not call it. What the broker held is gone. Its error is always
// nil so far.
func (b *Broker) Close() error {
	b.closing.Do(func() {
		b.mu.Lock()
		close(b.closed)
		b.mu.Unlock()
		if b.listener != nil {
			_ = b.listener.Close()
		}
		b.CloseConnections("broker forced connection closure with reason 'shutdown'")
		b.Sever()
		b.running.Wait()
		b.effects.Wait()
		b.silence()
		for _, h := range b.allHosts() {
			h.Close()
		}
	})
	return nil
}

// URL is the address of the first virtual host with the credentials of a user
// who may enter it: amqp://guest:guest@127.0.0.1:port/ by default, amqps with
// TLS. Without a listener it serves clients whose hook for dialling is Dial.
func (b *Broker) URL() string {
	name := ""
	if len(b.options.VHosts) > 0 {
		name = b.options.VHosts[0]
	}
	user, password := b.somebody(name)
	if name == "/" {
		return b.address(user, password) + "/"
	}
	return b.URLAs(user, password, name)
}

// URLAs is the address of a virtual host with a user's credentials. Neither need
// exist.
func (b *Broker) URLAs(user, password, vhost string) string {
	return b.address(user, password) + "/" + url.PathEscape(vhost)
}

func (b *Broker) address(user, password string) string {
	scheme := "amqp"
	if b.options.TLS != nil {
		scheme = "amqps"
	}
	return scheme + "://" + url.UserPassword(user, password).String() + "@" + b.Addr()
}

// somebody is guest if it may enter the virtual host, or else the first user by
// name who may.
func (b *Broker) somebody(vhost string) (user, password string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, a := range b.accounts {
		if a.mayEnter(vhost) && (user == "" || name == "guest" || user != "guest" && name < user) {
			user, password = name, a.Password
		}
	}
	return user, password
}

// AddVHost makes a virtual host, unless there is one of that name, and returns
// its URL with the credentials of a user who may enter it.
func (b *Broker) AddVHost(name string) string {
	b.mu.Lock()
	if b.hosts[name] == nil {
		h := vhost.New(name)
		h.Limit(b.options.MaxQueues, b.options.DenyTransient)
		b.hosts[name] = h
	}
	b.mu.Unlock()
	user, password := b.somebody(name)
	return b.URLAs(user, password, name)
}

// RemoveVHost closes the connections to a virtual host as RabbitMQ does, with
// 320, and removes it with all that is in it. It does nothing if there is none.
func (b *Broker) RemoveVHost(name string) {
	b.mu.Lock()
	h := b.hosts[name]
	delete(b.hosts, name)
	b.mu.Unlock()
	if h == nil {
		return
	}
	b.closeConnections("vhost '"+name+"' is down", func(c *conn) bool { return c.inHost(h) })
	h.Close()
}

// AddUser makes or replaces a user. Connections that are open keep the
// permissions that they began with. It fails if a permission is no regular
// expression.
func (b *Broker) AddUser(name string, user User) error {
	if name == "" {
		return errors.New("amqptest: a user needs a name")
	}
	a, err := newAccount(name, user)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.accounts[name] = a
	b.mu.Unlock()
	return nil
}

// RemoveUser removes a user. Its connections stay open.
func (b *Broker) RemoveUser(name string) {
	b.mu.Lock()
	delete(b.accounts, name)
	b.mu.Unlock()
}

func (b *Broker) account(name string) *account {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accounts[name]
}

func (b *Broker) host(name string) *vhost.Host {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hosts[name]
}

func (b *Broker) allHosts() []*vhost.Host {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*vhost.Host, 0, len(b.hosts))
	for _, h := range b.hosts {
		list = append(list, h)
	}
	return list
}

// allConns is in no order.
func (b *Broker) allConns() []*conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*conn, 0, len(b.conns))
	for c := range b.conns {
		list = append(list, c)
	}
	return list
}

func (b *Broker) logf(format string, args ...any) { b.options.Logf(format, args...) }
