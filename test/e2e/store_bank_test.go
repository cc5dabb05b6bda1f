package e2e

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/boltstore"
)

// envBank has a subprocess be a bank: its value is a bankSpec.
const envBank = "WARREN_E2E_BANK"

// bankSpec says what a bank does.
type bankSpec struct {
	URL    string      `json:"url"`
	Folder string      `json:"folder"` // of the store's file and of the file of effects
	Mode   server.Mode `json:"mode"`
	// The bank kills itself when it reaches Point for the Nth time.
	Point crashpoint.Point `json:"point"`
	Nth   int64            `json:"nth"`
}

const (
	accounts = 10
	opening  = 1000 // what is in each account at first
)

// storeFile and effectsFile are in the bank's folder.
const (
	storeFile   = "store.db"
	effectsFile = "effects"
	effectsEnd  = ";" // of each line
)

// Buckets of the bank's own in the store's file.
var (
	balancesBucket = []byte("balances")
	bookBucket     = []byte("book") // a call ID for each transfer, by number
)

// transfer moves money between two accounts.
type transfer struct {
	From   int `json:"from"`
	To     int `json:"to"`
	Amount int `json:"amount"`
}

// forbidden are transfers that the bank refuses, whatever the balances.
func (t transfer) forbidden() bool { return t.Amount%17 == 0 }

// receipt is another one each time that the handler runs.
type receipt struct {
	CallID string `json:"call_id"`
	Run    string `json:"run"`
}

func errForbidden() error {
	return warren.Errorf(warren.CodeFailedPrecondition, "run %s: the transfer is forbidden", uuid.NewString())
}

// startBank starts a bank in a process of its own.
func startBank(t *testing.T, spec bankSpec) *process {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return startProcess(t, envBank+"="+string(b))
}

// runBank serves transfers until standard input ends.
func runBank(text string) error {
	var spec bankSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	if spec.Nth > 0 {
		killYourselfAtNth(spec.Point, spec.Nth)
	}
	st, err := boltstore.Open(filepath.Join(spec.Folder, storeFile), boltstore.Options{})
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: []string{spec.URL}}, Store: st, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if err := serveBank(s, spec); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := s.Start(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return cmp.Or(s.Stop(context.WithoutCancel(ctx)), st.Close())
}

func serveBank(s *server.Server, spec bankSpec) error {
	m := server.Method{Name: "transfer", Dedupe: server.Dedupe{Mode: spec.Mode}}
	if spec.Mode == server.Transactional {
		return server.HandleTx(s, m, transferInTransaction)
	}
	effects, err := os.OpenFile(filepath.Join(spec.Folder, effectsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return server.Handle(s, m, func(ctx context.Context, t transfer) (receipt, error) {
		if t.forbidden() {
			return receipt{}, errForbidden()
		}
		id := warren.RequestFromContext(ctx).CallID
		// A kill may cut a write off where a page of the file ends: what has no end is no effect.
		if _, err := effects.WriteString("\n" + id + effectsEnd); err != nil {
			return receipt{}, err
		}
		return receipt{id, uuid.NewString()}, effects.Sync()
	})
}

// transferInTransaction moves the money and enters the call in the book, both or
// neither.
func transferInTransaction(ctx context.Context, tx *bbolt.Tx, t transfer) (receipt, error) {
	id := warren.RequestFromContext(ctx).CallID
	balances, err := tx.CreateBucketIfNotExists(balancesBucket)
	if err != nil {
		return receipt{}, err
	}
	book, err := tx.CreateBucketIfNotExists(bookBucket)
	if err != nil {
		return receipt{}, err
	}
	if err := move(balances, t.From, -t.Amount); err != nil {
		return receipt{}, err
	}
	if t.forbidden() {
		return receipt{}, errForbidden() // in the middle: the first half is rolled back
	}
	if err := move(balances, t.To, t.Amount); err != nil {
		return receipt{}, err
	}
	number, err := book.NextSequence()
	if err != nil {
		return receipt{}, err
	}
	return receipt{id, uuid.NewString()}, book.Put(binary.BigEndian.AppendUint64(nil, number), []byte(id))
}

func move(balances *bbolt.Bucket, account, amount int) error {
	key := []byte{byte(account)}
	return balances.Put(key, binary.BigEndian.AppendUint64(nil, uint64(balance(balances, account)+int64(amount))))
}

func balance(balances *bbolt.Bucket, account int) int64 {
	b := balances.Get([]byte{byte(account)})
	if b == nil {
		return opening
	}
	return int64(binary.BigEndian.Uint64(b))
}

// killYourselfAtNth kills this process when the point is reached for the nth time,
// by whatever call.
func killYourselfAtNth(at crashpoint.Point, nth int64) {
	var reached atomic.Int64
	crashpoint.Set(func(point crashpoint.Point, _, _ string) {
		if point == at && reached.Add(1) == nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
	})
}

// effectsOf tells how often each call has had its effect, by the accounts or the
// file of a bank that has ended. The file must be sound and no money made or lost.
func effectsOf(t *testing.T, spec bankSpec) map[string]int {
	t.Helper()
	path := filepath.Join(spec.Folder, storeFile)
	if report, err := boltstore.Check(t.Context(), path); err != nil || len(report.Findings) > 0 {
		t.Errorf("the store's file after the crashes: %v, error %v", report.Findings, err)
	}
	effects := map[string]int{}
	if spec.Mode != server.Transactional {
		text, err := os.ReadFile(filepath.Join(spec.Folder, effectsFile))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(text), "\n") {
			if id, whole := strings.CutSuffix(line, effectsEnd); whole {
				effects[id]++
			}
		}
		return effects
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.View(func(tx *bbolt.Tx) error {
		sum := int64(0)
		for account := range accounts {
			sum += balance(tx.Bucket(balancesBucket), account)
		}
		if sum != accounts*opening {
			t.Errorf("the accounts hold %d together; want %d", sum, accounts*opening)
		}
		return tx.Bucket(bookBucket).ForEach(func(_, id []byte) error {
			effects[string(id)]++
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return effects
}
