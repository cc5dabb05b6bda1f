package mutants

import "github.com/warren-rpc/warren/test/chaos/check"

// mutant is a change of the source, and the run, or the tests of a package, that must
// find it.
type mutant struct {
	name string
	// edits are applied to files of the repository. What they replace must be there
	// once.
	edits []edit
	// mode, faults and duration are the run's, and store, which is a file by default.
	mode, faults, duration, store string

	breaks check.Name
	quick  bool // it is run by go test, too
	// tests are those of a package, as go test has them, instead of a run: of what a
	// run meets once in many thousand calls.
	tests []string
}

type edit struct{ file, old, new string }

const (
	kills      = "kill-server"
	cutServer  = "cut:server,cut:server,cut:server,cut:server"
	cutStore   = "kill-postgres,cut:store,cut:store,cut:store,cut:store"
	stallStore = "stall:store,stall:store,stall:store,stall:store,stall:store,freeze-server,freeze-server"
	duplicates = "duplicate,duplicate,duplicate,duplicate,duplicate,duplicate"
	cutClients = "cut:clients,cut:clients,cut:clients,cut:clients,cut:clients,cut:clients"
)

var mutants = []mutant{
	{
		name: "a request is acknowledged before its handler has run",
		edits: []edit{{
			"server/exchange.go", "func (ex *exchange) handle(ctx context.Context) {\n",
			"func (ex *exchange) handle(ctx context.Context) {\n	ex.ack.acknowledge()\n",
		}},
		mode: "at-least-once", faults: kills, duration: "20s", breaks: check.Answered,
	},
	{
		// As on a disk that takes 5 ms.
		name: "a reply goes out before the transaction commits",
		edits: []edit{{"server/attempt.go", "	\"errors\"\n", "	\"errors\"\n	\"time\"\n"}, {
			"server/attempt.go", "	err := at.transact(ctx, at.ex.id.key, at.token, at.retention.ofRecord(at.ex), once)\n",
			`	early, commit := make(chan error, 2), once
	once = func(tx any) (store.Result, error) {
		result, err := commit(tx)
		early <- err
		time.Sleep(5 * time.Millisecond)
		return result, err
	}
	go func() { early <- at.transact(ctx, at.ex.id.key, at.token, at.retention.ofRecord(at.ex), once) }()
	err := <-early
`,
		}},
		mode: "transactional", faults: kills, duration: "20s", breaks: check.SuccessHasEffect,
	},
	{
		name: "a call whose server died is begun again, at most once or not",
		edits: []edit{
			{"server/gate.go", "case (rec.State == store.Interrupted || rec.State == store.Absent && ex.ran) && g.m.Dedupe.Mode == AtMostOnce:", "case false:"},
			{"server/attempt.go", "Once: unseen || d.Mode == AtMostOnce,", "Once: unseen,"},
		},
		mode: "at-most-once", faults: kills, duration: "20s", breaks: check.SuccessHasEffect,
	},
	{
		name: "a channel that ends counts for a confirm of all that was open on it",
		edits: []edit{
			{"internal/broker/publishchannel.go", "		item.settle(Lost, reason)\n", "		item.settle(Acked, reason)\n"},
		},
		mode: "at-least-once", faults: cutServer, duration: "30s", breaks: check.Answered,
	},
	{
		name: "a channel that ends is taken for a refusal of all that was open on it",
		edits: []edit{{
			"client/attempt.go", "		e.Kind = callstate.Lost\n",
			"		e.Kind, e.Err = callstate.Returned, errNoRoute()\n",
		}},
		mode: "at-least-once", faults: cutClients, duration: "20s", breaks: check.NotExecutedHasNone,
	},
	{
		name:  "callers are not told apart",
		edits: []edit{{"server/identity.go", "		scope.Caller = req.UserID\n", ""}},
		mode:  "at-least-once", faults: "stranger", duration: "8s", breaks: check.ReplyBelongs, quick: true,
	},
	{
		name:  "requests are not mandatory",
		edits: []edit{{"client/attempt.go", "a.publish.Mandatory, a.publish.Sink = cl.queue(), true, a", "a.publish.Mandatory, a.publish.Sink = cl.queue(), false, a"}},
		mode:  "at-least-once", faults: "unserved", duration: "8s", breaks: check.UnservedIsTold, quick: true,
	},
	{
		name:  "a reply to an earlier call of the same ID is taken",
		edits: []edit{{"internal/wire/reply.go", "!meta.answers(req)", "false"}},
		mode:  "at-least-once", faults: "forge", duration: "10s", breaks: check.ReplyBelongs,
	},
	{
		name:  "a client does not look at the nonce of a reply",
		edits: []edit{{"internal/wire/reply.go", "return m.Nonce == req.Nonce", "return true"}},
		mode:  "at-least-once", faults: "forge", duration: "10s", breaks: check.ReplyBelongs,
	},
	{
		name: "a message whose headers cannot be read ends the connection",
		edits: []edit{
			{
				"internal/broker/workers.go", "	d.DecodeHeaders()\n",
				"	if d.DecodeHeaders(); d.Unreadable() != \"\" {\n		d.st.s.Kill(errChannelEnded)\n		return\n	}\n",
			},
		},
		mode: "at-most-once", faults: "unreadable", duration: "8s", breaks: check.Answered,
	},
	{
		name:  "a client takes a reply with any nonce to a call of an ID of its own",
		edits: []edit{{"internal/wire/reply.go", "return m.Nonce == Nonce{}", "return true"}},
		tests: []string{"./internal/wire", "TestRepliesAreTakenByVersionAndNonce"},
	},
	{
		name:  "a call of its user's own ID begins in version 2 although it may not be repeated",
		edits: []edit{{"client/version.go", "cl.settings.oneWay || !repeatable", "cl.settings.oneWay || !repeatable && false"}},
		tests: []string{"./client", "TestVersionOfACallWithAnIDOfItsUsers"},
	},
	{
		name:  "a server does not ask which store remembers a method",
		edits: []edit{{"server/memory.go", "	label, other := broker.OtherLabel(err)\n	if !other {", "	label, other := broker.OtherLabel(err)\n	if other {\n		return nil\n	}\n	if !other {"}},
		mode:  "at-most-once", faults: "other-store", duration: "12s", breaks: check.OneMemory,
	},
	{
		name:  "a call that may have been forgotten is begun again",
		edits: []edit{{"server/attempt.go", "if why := g.retention.forbids(ex); why != nil {", "if why := g.retention.forbids(ex); false {"}},
		mode:  "at-most-once", faults: "retention", duration: "12s", breaks: check.SuccessHasEffect,
	},
	{
		name: "two servers claim a call at the same time",
		edits: []edit{{
			"store/pgstore/sql.go", "`SELECT pg_advisory_xact_lock($1, k) FROM", "`SELECT $1::int, k FROM",
		}},
		mode: "at-most-once", faults: duplicates, duration: "20s", store: "postgres", breaks: check.SuccessHasEffect,
	},
	{
		name:  "a transaction whose connection is lost in its commit counts as committed",
		edits: []edit{{"store/pgstore/transact.go", "return s.findOut(ctx, key, token, err)", "return nil"}},
		mode:  "transactional", faults: cutStore, duration: "20s", store: "postgres", breaks: check.SuccessHasEffect,
	},
	{
		name: "a transaction commits whoever has the call by then",
		edits: []edit{{
			"store/pgstore/sql.go",
			"r.token = $5 AND r.state = 1 AND (r.expires > t.now OR r.lease > t.now)\n				RETURNING 1",
			"$5::bigint IS NOT NULL\n				RETURNING 1",
		}},
		mode: "transactional", faults: stallStore, duration: "30s", store: "postgres", breaks: check.SuccessHasEffect,
	},
	{
		name:  "a claim is not undone whose handler was never entered",
		edits: []edit{{"server/attempt.go", "if at.abandon(store.Undone) || errors.Is", "if errors.Is"}},
		tests: []string{"./server", "TestClaimWhoseHandlerWasNotEnteredIsUndone"},
	},
	{
		name:  "a handler that has done nothing is not believed",
		edits: []edit{{"server/exchange.go", "if warren.DidNothing(err) {", "if false {"}},
		tests: []string{"./server", "TestHandlerThatHasDoneNothing"},
	},
	{
		name:  "the last attempt of a call is not alone",
		edits: []edit{{"server/attempt.go", "g.lock.lock(ctx, last)", "g.lock.lock(ctx, false)"}},
		tests: []string{"./server", "TestLastAttemptIsAlone"},
	},
	{
		name:  "requests are acknowledged whatever became of the bundle that carries their replies",
		edits: []edit{{"internal/broker/bundle.go", "			m.settle(result, reason)\n", "			m.settle(Acked, reason)\n"}},
		tests: []string{"./server", "TestRepliesOfABundleThatIsNotConfirmedAreSentAgain"},
	},
}
