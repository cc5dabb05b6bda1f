package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// The two sides of a variant, each of which has a process.
const (
	serverSide = "server"
	clientSide = "client"
)

// What the parent asks of a worker, one word per line after the line with its
// spec. The worker answers each with one message; without being asked it says
// once that it is ready, or that it has failed.
const (
	orderBegin = "begin" // answered with the usage so far; starts profiles
	orderLoad  = "load"  // client only: a measurement; answered with its tally
	orderEnd   = "end"   // answered with the usage since begin; ends profiles
)

// message is a line from a worker. At most one field is set; none answers begin.
type message struct {
	Ready bool   `json:"ready,omitempty"`
	Tally *tally `json:"tally,omitempty"`
	Usage *usage `json:"usage,omitempty"`
	Error string `json:"error,omitempty"`
}

// Worker is one side of a measurement, for the process that Run starts as
// Options.Executable says: args are the side and the variant. It takes orders on
// standard input until that ends, which it does when Run or its process ends, and
// answers on standard output; neither may be used by anything else.
//
// databases are those of Run's options.
//
// What goes wrong is told to Run in an answer. The error is for the exit status.
func Worker(args []string, databases ...Database) error {
	if len(args) != 2 || args[0] != serverSide && args[0] != clientSide {
		return fmt.Errorf("%w: a worker's arguments are a side and a variant; warren bench starts its own", ErrOptions)
	}
	v, ok := lookUp(args[1], databases)
	if !ok {
		return fmt.Errorf("%w: no variant %q", ErrOptions, args[1])
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	w := &worker{variant: v, orders: make(chan string), out: json.NewEncoder(os.Stdout)}
	s, err := w.listen(os.Stdin, func() {
		cancel(io.EOF)
		// A library that hangs may not keep the process of a parent that is gone.
		time.AfterFunc(5*time.Second, func() { os.Exit(1) })
	})
	if err == nil && args[0] == serverSide {
		err = w.server(ctx, s)
	} else if err == nil {
		err = w.client(ctx, s)
	}
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, w.say(message{Error: err.Error()}))
	}
	return nil
}

type worker struct {
	variant variant
	orders  chan string
	out     *json.Encoder

	begun        usage
	stopProfiles func() error
}

// listen reads the spec, and then orders until the input ends.
func (w *worker) listen(in io.Reader, ended func()) (s spec, err error) {
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return s, fmt.Errorf("no spec: %w", io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
		return s, fmt.Errorf("spec: %w", err)
	}
	go func() {
		for lines.Scan() {
			w.orders <- lines.Text()
		}
		ended()
	}()
	return s, nil
}

func (w *worker) server(ctx context.Context, s spec) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	ready, served := make(chan struct{}), make(chan struct{})
	var failed error
	go func() {
		defer close(served)
		failed = w.variant.serve(serving, s, func() { close(ready) })
	}()

	select {
	case <-ready:
	case <-served:
		return fmt.Errorf("serve: %w", failed)
	}
	err := w.say(message{Ready: true})
	if err == nil {
		err = w.obey(ctx, s, served, nil)
	}
	stop()
	<-served

	// The parent deletes the queue too, unless it has been killed.
	if conn, err := dial(s.URL); err == nil {
		_ = deleteQueues(conn, s.Queue)
		_ = conn.Close()
	}
	if failed != nil {
		return fmt.Errorf("serve: %w", failed)
	}
	return err
}

func (w *worker) client(ctx context.Context, s spec) error {
	c, err := w.variant.connect(ctx, s)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = c.close() }()
	if s.WarmUp > 0 {
		if _, err := makeCalls(ctx, c, s, s.WarmUp); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
	}
	if err := w.say(message{Ready: true}); err != nil {
		return err
	}
	return w.obey(ctx, s, nil, c)
}

// obey answers orders until the context ends, one cannot be followed, or the
// server's side ends.
func (w *worker) obey(ctx context.Context, s spec, served <-chan struct{}, c caller) error {
	for {
		select {
		case order := <-w.orders:
			m, err := w.follow(ctx, s, c, order)
			if err != nil {
				return err
			}
			if err := w.say(m); err != nil {
				return err
			}
		case <-served:
			return errors.New("the server has ended by itself")
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *worker) follow(ctx context.Context, s spec, c caller, order string) (m message, err error) {
	switch {
	case order == orderBegin:
		if w.stopProfiles, err = startProfiles(s.Profile); err != nil {
			return m, err
		}
		w.begun, err = usageNow()
		return m, err
	case order == orderEnd && w.stopProfiles != nil:
		now, err := usageNow()
		if err != nil {
			return m, err
		}
		used := now.since(w.begun)
		return message{Usage: &used}, w.stopProfiles()
	case order == orderLoad && c != nil:
		t, err := makeCalls(ctx, c, s, s.Duration)
		return message{Tally: &t}, err
	default:
		return m, fmt.Errorf("cannot follow the order %q", order)
	}
}

func (w *worker) say(m message) error { return w.out.Encode(m) }
