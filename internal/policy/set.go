package policy

import (
	"sync"
	"sync/atomic"
	"time"
)

// Set is a client's policies at work: each method has its policy from a
// [Table], and what has been learned of the method stays when the table is
// replaced. It is safe for concurrent use.
type Set struct {
	onChange func(Change)

	reloading sync.Mutex // one at a time, so that the last one counts for all

	mu      sync.RWMutex
	table   *Table
	methods map[string]*Method
}

// Method is what a [Set] knows of one method. The parts are safe for concurrent
// use, and stay the same for as long as the Set lives.
type Method struct {
	Name     string
	Breaker  *Breaker
	Budget   *Budget
	Bulkhead *Bulkhead
	Latency  *Latency
	// V1Until is until when the method is called in version 1 of the wire format, in
	// Unix nanoseconds: a server has refused another one.
	V1Until atomic.Int64

	policy atomic.Pointer[Policy]
}

// mostMethods bounds the methods that a Set remembers: their names may come
// from outside. What is learned of others is forgotten with the call.
const mostMethods = 10_000

// NewSet returns a set with the policies of the table. onChange may be nil; it
// is told of the changes of all breakers, as [NewBreaker] says.
func NewSet(table *Table, onChange func(Change)) *Set {
	return &Set{onChange: onChange, table: table, methods: map[string]*Method{}}
}

// Method returns what is known of a method. It does not allocate for one that
// is known.
func (s *Set) Method(name string) *Method {
	s.mu.RLock()
	m := s.methods[name]
	s.mu.RUnlock()
	if m != nil {
		return m
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.methods[name]; m != nil {
		return m
	}
	p := s.table.Policy(name)
	m = &Method{
		Name: name, Breaker: NewBreaker(name, p.Breaker, s.onChange), Budget: NewBudget(p.Budget),
		Bulkhead: NewBulkhead(p.Bulkhead), Latency: &Latency{},
	}
	m.policy.Store(p)
	if len(s.methods) < mostMethods {
		s.methods[name] = m
	}
	return m
}

// Reload replaces the policies. Breakers keep their state, budgets the share of
// their tokens, bulkheads and latencies what they hold; calls that are under way
// end by the policy that they began with.
func (s *Set) Reload(now time.Time, table *Table) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	s.mu.Lock()
	s.table = table
	methods := make([]*Method, 0, len(s.methods))
	for _, m := range s.methods {
		methods = append(methods, m)
	}
	s.mu.Unlock()
	for _, m := range methods {
		m.update(now, table.Policy(m.Name))
	}
}

func (m *Method) update(now time.Time, p *Policy) {
	m.policy.Store(p)
	m.Breaker.Update(now, p.Breaker)
	m.Budget.Update(p.Budget)
	m.Bulkhead.Update(p.Bulkhead)
}

// Policy is the method's policy at present. It must not be changed.
func (m *Method) Policy() *Policy { return m.policy.Load() }

// Table returns the policies at present.
func (s *Set) Table() *Table {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table
}
