package chaospg

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/workload"
)

// tables are the application's.
const tables = `
CREATE TABLE IF NOT EXISTS account (name text PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE IF NOT EXISTS register (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS book (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, effect text NOT NULL);
`

// state is the application's tables, as one transaction sees them.
type state struct {
	ctx context.Context
	tx  pgx.Tx
}

// Transfer implements workload.State. The first account is locked first, whichever it is: two
// transfers in opposite directions are a deadlock.
func (s state) Transfer(from, to string, amount int64) error {
	const change = `INSERT INTO account VALUES ($1, $2::bigint + $3::bigint)
		ON CONFLICT (name) DO UPDATE SET balance = account.balance + $3`
	if _, err := s.tx.Exec(s.ctx, change, from, workload.Opening, -amount); err != nil {
		return err
	}
	_, err := s.tx.Exec(s.ctx, change, to, workload.Opening, amount)
	return err
}

// Register implements workload.State.
func (s state) Register(key string) (value string, err error) {
	err = s.tx.QueryRow(s.ctx, "SELECT coalesce((SELECT value FROM register WHERE name = $1), '')", key).Scan(&value)
	return value, err
}

// Set implements workload.State.
func (s state) Set(key, value string) error {
	_, err := s.tx.Exec(s.ctx, "INSERT INTO register VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2", key, value)
	return err
}

// Swap implements workload.State. The register's row is locked before it is read.
func (s state) Swap(key, old, value string) (found string, err error) {
	if _, err := s.tx.Exec(s.ctx, "INSERT INTO register VALUES ($1, '') ON CONFLICT DO NOTHING", key); err != nil {
		return "", err
	}
	if err := s.tx.QueryRow(s.ctx, "SELECT value FROM register WHERE name = $1 FOR UPDATE", key).Scan(&found); err != nil || found != old {
		return found, err
	}
	return found, s.Set(key, value)
}

// Note implements workload.State.
func (s state) Note(e history.Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = s.tx.Exec(s.ctx, "INSERT INTO book (effect) VALUES ($1)", string(line))
	return err
}
