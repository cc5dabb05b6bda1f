package client_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rig"
)

// A failure to get credentials is what whoever waits is told, and it may pass.
func TestCredentialsThatCannotBeHadAreAskedForAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		var open atomic.Bool
		c := r.Client(func(cfg *client.Config) {
			cfg.Broker.URLs[0] = strings.Replace(cfg.Broker.URLs[0], "guest:guest@", "nobody:x@", 1)
			cfg.Broker.Credentials = func(context.Context) (string, string, error) {
				if !open.Load() {
					return "", "", errors.New("the vault is sealed")
				}
				return "guest", "guest", nil
			}
		})
		_, err := c.Call(r.T.Context(), "echo", nil, client.WithTimeout(time.Second), client.WaitForServer())
		e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, warren.ReasonNotConnected, warren.NotExecuted)
		if !strings.Contains(e.Message, "the vault is sealed") {
			r.T.Errorf("%v", &e)
		}
		open.Store(true)
		mustCall(r, c, "echo", "x", client.WaitForServer())
	})
}
