package server_test

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

// transfer is a request that judges itself.
type transfer struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Cents int64  `json:"cents"`
}

// Validate is called on what was decoded, before the handler.
func (t transfer) Validate() error {
	if t.Cents <= 0 {
		return errors.New("cents must be positive")
	}
	return nil
}

type receipt struct {
	Number int `json:"number"`
}

// A typed handler sees requests that were decoded and validated; what it
// refuses itself is an *Error with a code and a reason of its own.
func ExampleHandle() {
	s, err := server.New(server.Config{Broker: broker()})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = server.Handle(s, server.Method{Name: "bank.transfer", Concurrency: 8},
		func(ctx context.Context, t transfer) (receipt, error) {
			if t.From != "ada" {
				return receipt{}, warren.Errorf(warren.CodeNotFound, "there is no account %q", t.From).WithReason("no_account")
			}
			return receipt{Number: 17}, nil
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range []transfer{{"ada", "blaise", 100}, {"edsger", "ada", 5}, {"ada", "blaise", 0}} {
		r, err := call[receipt](ctx, "bank.transfer", t)
		fmt.Println(r.Number, err)
	}
	fmt.Println(s.Stop(ctx))
	// Output:
	// 17 <nil>
	// 0 bank.transfer: not_found/no_account (executed): there is no account "edsger"
	// 0 bank.transfer: invalid_argument/invalid (not_executed): cents must be positive
	// <nil>
}

// Run serves until its context ends, by a signal in most programs, and then
// lets the handlers that are at work end and answer.
func ExampleServer_Run() {
	s, err := server.New(server.Config{Broker: broker()})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, interrupt := context.WithCancel(context.Background())
	err = server.Handle(s, server.Method{Name: "slow.double"}, func(ctx context.Context, n int) (int, error) {
		interrupt() // the signal comes while a call is at work
		time.Sleep(50 * time.Millisecond)
		return 2 * n, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()

	// No server may be there yet, and no queue: wait for both.
	awaitServer("slow.double")
	n, err := call[int](context.Background(), "slow.double", 21)
	fmt.Println(n, err)
	fmt.Println(<-ended)
	// Output:
	// 42 <nil>
	// <nil>
}

// The rest is what the examples call.

// local is the broker that the examples share; the first of them starts it.
var local *amqptest.Broker

// broker is warren.Broker{URLs: []string{"amqp://user:password@host:port/vhost"}},
// with the address of an in-process broker.
var broker = sync.OnceValue(func() warren.Broker {
	var err error
	if local, err = amqptest.Start(amqptest.Options{}); err != nil {
		panic(err)
	}
	return warren.Broker{URLs: []string{local.URL()}}
})

func stopExamples() error {
	if local == nil {
		return nil
	}
	return local.Close()
}

// call makes one call with a client of its own.
func call[Rep any](ctx context.Context, method string, req any) (Rep, error) {
	c := newClient()
	defer c.Close()
	return client.Call[Rep](ctx, c, method, req)
}

func awaitServer(method string) {
	c := newClient()
	defer c.Close()
	for {
		if n, err := c.Ping(context.Background(), method); err == nil && n > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func newClient() *client.Client {
	c, err := client.New(client.Config{Broker: broker()})
	if err != nil {
		panic(err)
	}
	return c
}
