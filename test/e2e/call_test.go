package e2e

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestCallReturnsWhatTheHandlerReturned(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, serveEcho("echo"))
	c := newClient(t, url)
	for _, size := range []int{0, 1, 4095, 4096, 70_000, 1 << 20} {
		body := bytes.Repeat([]byte{'x'}, size)
		reply, err := c.Call(testContext(t), "echo", body, client.WithHeader("k", "v"), client.WithContentType("text/plain"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(reply.Body, body) || reply.Header["k"] != "v" || reply.ContentType != "text/plain" {
			t.Fatalf("reply of %d bytes, %v, %s", len(reply.Body), reply.Header, reply.ContentType)
		}
		if reply.Attempts != 1 || reply.Plain || reply.Replayed {
			t.Fatalf("reply is %+v", reply)
		}
	}
}

type user struct {
	ID    int    `json:"id"`
	Email string `json:"email,omitempty"`
}

func (u user) Validate() error {
	if u.ID <= 0 {
		return errors.New("the ID must be positive")
	}
	return nil
}

func TestTypedCallDecodesValidatesAndAnswers(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, func(s *server.Server) error {
		return server.Handle(s, server.Method{Name: "users.email"}, func(_ context.Context, u user) (user, error) {
			if u.ID == 404 {
				return user{}, warren.Errorf(warren.CodeNotFound, "no user %d", u.ID).WithReason("no_user").WithDetail("id", "404")
			}
			u.Email = "a@example.org"
			return u, nil
		})
	})
	c := newClient(t, url)
	got, err := client.Call[user](testContext(t), c, "users.email", user{ID: 7})
	if err != nil || got.Email != "a@example.org" {
		t.Fatalf("got %+v, %v", got, err)
	}
	_, err = client.Call[user](testContext(t), c, "users.email", user{ID: -1})
	rig.WantError(t, err, warren.CodeInvalidArgument, warren.ReasonInvalid, warren.NotExecuted)
	_, err = client.Call[user](testContext(t), c, "users.email", "no object")
	rig.WantError(t, err, warren.CodeInvalidArgument, warren.ReasonMalformedBody, warren.NotExecuted)
	_, err = c.Call(testContext(t), "users.email", []byte(`{"id":7}`), client.WithContentType("text/yaml"))
	rig.WantError(t, err, warren.CodeInvalidArgument, warren.ReasonUnsupportedMedia, warren.NotExecuted)
	for _, contentType := range []string{"", "Application/JSON; charset=utf-8"} {
		if _, err := c.Call(testContext(t), "users.email", []byte(`{"id":7}`), client.WithContentType(contentType)); err != nil {
			t.Errorf("%s: %v", contentType, err)
		}
	}
	_, err = client.Call[user](testContext(t), c, "users.email", user{ID: 404})
	e := rig.WantError(t, err, warren.CodeNotFound, "no_user", warren.Executed)
	if !e.Remote || e.Message != "no user 404" || e.Details["id"] != "404" || e.Attempts != 1 {
		t.Fatalf("error is %+v", e)
	}
}
