package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
)

// A typed call: the client's codec, JSON by default, encodes the request and
// decodes the reply. The call ends by the deadline of its context.
func ExampleCall() {
	c, err := client.New(client.Config{Broker: broker()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	type user struct {
		ID int `json:"id"`
	}
	type email struct {
		Address string `json:"address"`
	}
	reply, err := client.Call[email](ctx, c, "users.email", user{ID: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reply.Address)
	// Output:
	// ada@example.org
}

// What an error says of the handler: whether it ran, did not run and will not,
// or may have run.
func ExampleClient_Call() {
	c, err := client.New(client.Config{Broker: broker()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	show := func(err error) {
		if e, ok := warren.AsError(err); ok {
			fmt.Printf("%v %q %v\n", e.Code, e.Reason, e.Outcome)
		}
	}
	_, err = c.Call(ctx, "users.email", []byte(`{"id":2}`))
	show(err) // the handler's own error
	_, err = c.Call(ctx, "users.phone", []byte(`{"id":1}`))
	show(err) // nobody has ever served this method
	_, err = c.Call(ctx, "users.email", []byte(`{"id":3}`), client.WithTimeout(500*time.Millisecond))
	show(err) // the handler takes longer than that
	// Output:
	// not_found "no_such_user" executed
	// unavailable "no_route" not_executed
	// deadline_exceeded "" unknown
}

// A notification returns when the broker has the request, which then waits in
// the queue until a server takes it. Nobody learns how the handler ended.
func ExampleClient_Notify() {
	c, err := client.New(client.Config{Broker: broker()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	fmt.Println(c.Notify(ctx, "audit.log", []byte("user 1 has logged in")))
	fmt.Println("the server:", <-audit)
	// Output:
	// <nil>
	// the server: user 1 has logged in
}

// The rest is what the examples call.

// audit gets what audit.log was told.
var audit = make(chan string, 1)

// The examples share a broker and a server, which the first of them starts.
var examples struct {
	broker *amqptest.Broker
	server *server.Server
}

// broker is warren.Broker{URLs: []string{"amqp://user:password@host:port/vhost"}},
// with the address of an in-process broker.
var broker = sync.OnceValue(func() warren.Broker {
	var err error
	if examples.broker, err = amqptest.Start(amqptest.Options{}); err != nil {
		panic(err)
	}
	settings := warren.Broker{URLs: []string{examples.broker.URL()}}
	s, err := server.New(server.Config{Broker: settings})
	if err == nil {
		err = errors.Join(
			server.Handle(s, server.Method{Name: "users.email"}, email),
			s.HandleRaw(server.Method{Name: "audit.log"}, record),
			s.Start(context.Background()),
		)
	}
	if err != nil {
		panic(err)
	}
	examples.server = s
	return settings
})

func stopExamples() error {
	if examples.broker == nil {
		return nil
	}
	return errors.Join(examples.server.Stop(context.Background()), examples.broker.Close())
}

type userID struct {
	ID int `json:"id"`
}

type address struct {
	Address string `json:"address"`
}

func email(_ context.Context, user userID) (address, error) {
	switch user.ID {
	case 1:
		return address{"ada@example.org"}, nil
	case 3:
		time.Sleep(time.Second)
		return address{}, nil
	default:
		return address{}, warren.Errorf(warren.CodeNotFound, "there is no user %d", user.ID).WithReason("no_such_user")
	}
}

func record(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	audit <- string(req.Body)
	return nil, nil
}
