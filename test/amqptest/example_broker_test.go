package amqptest_test

import (
	"context"
	"fmt"
	"net"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/amqptest"
)

// A program that has no test starts a broker of its own. A test calls New.
func ExampleStart() {
	broker, err := amqptest.Start(amqptest.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()

	conn, err := amqp.Dial(broker.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = channel.QueueDeclare("orders", true, false, false, false, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, queue := range broker.Queues("/") {
		fmt.Println(queue.Name, queue.Durable)
	}
	// Output: orders true
}

// Without a socket a broker is reached through the client's hook for dialling.
func ExampleBroker_Dial() {
	broker, err := amqptest.Start(amqptest.Options{Listen: "none"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer broker.Close()

	conn, err := amqp.DialConfig(broker.URL(), amqp.Config{
		Dial: func(network, address string) (net.Conn, error) {
			return broker.Dial(context.Background(), network, address)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Println(len(broker.Connections()))
	// Output: 1
}
