package wire_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// What is remembered of one message is not written into another.
func TestMessagesOfOtherMomentsHaveTheirOwnText(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				issued := time.UnixMilli(1767225590000 + int64(i%7))
				req := &wire.Request{Request: warren.Request{Method: "m", CallID: "1", Attempt: 1, Issued: issued, Deadline: issued.Add(time.Duration(i%5+1) * time.Second)}}
				req.Version, req.Unique, req.Bundles = wire.V2, true, i%2 == 0
				msg, e := wire.EncodeRequest(req, wire.Transient, limits)
				want := "warren/2c;t" + strconv.FormatInt(issued.UnixMilli(), 36)
				if req.Bundles {
					want += ";b"
				}
				if e != nil || msg.Type != want || msg.Expiration != strconv.Itoa((i%5+1)*1000) {
					t.Errorf("%d: %q, %q, %v", i, msg.Type, msg.Expiration, e)
				}
			}
		})
	}
	wg.Wait()
}
