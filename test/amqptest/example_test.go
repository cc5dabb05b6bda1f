package amqptest_test

import (
	"fmt"
	"log"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/amqptest"
)

func ExampleBroker_Inject() {
	broker, err := amqptest.Start(amqptest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	fault := broker.Inject(amqptest.Rule{
		When: amqptest.When{Method: "basic.publish", RoutingKey: "orders"},
		Nth:  2,
		Do:   amqptest.Nack(),
	})

	conn, err := amqp.Dial(broker.URL())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		log.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		log.Fatal(err)
	}
	if _, err := ch.QueueDeclare("orders", true, false, false, false, nil); err != nil {
		log.Fatal(err)
	}
	for n := range 3 {
		confirm, err := ch.PublishWithDeferredConfirm("", "orders", true, false, amqp.Publishing{Body: []byte("order")})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("publish", n+1, "is confirmed:", confirm.Wait())
	}
	fmt.Println("the fault has met", fault.Fired(), "of", fault.Matches())
	// Output:
	// publish 1 is confirmed: true
	// publish 2 is confirmed: false
	// publish 3 is confirmed: true
	// the fault has met 1 of 3
}

func ExampleParseRules() {
	rules, err := amqptest.ParseRules(`
		# the third delivery from orders is the last thing that its consumer sees
		basic.deliver queue=orders nth=3: sever-after
		basic.publish key=audit.* every=5: never-confirm
	`)
	if err != nil {
		log.Fatal(err)
	}
	for _, rule := range rules {
		fmt.Println(rule)
	}
	// Output:
	// basic.deliver queue=orders nth=3: sever-after
	// basic.publish key=audit.* every=5: never-confirm
}

func ExampleDraw() {
	for _, rule := range amqptest.Draw(7, amqptest.Plan{Kinds: []string{"delay", "sever-after"}, Count: 2, Within: 10}) {
		fmt.Println(rule)
	}
	// Output:
	// basic.publish from-client nth=2: delay 17ms
	// basic.deliver from-broker nth=10: delay 54ms
}
