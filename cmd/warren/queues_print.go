package main

import (
	"fmt"
	"strconv"
)

func printQueues(out *output, list *queueList) error {
	if out.json {
		return out.event(list) // it may be one of many
	}
	if list.Hidden > 0 {
		out.note("%s no method; see --all", areNo(list.Hidden))
	}
	if len(list.Queues) == 0 {
		out.note("the virtual host %q has no methods", list.VHost)
		return nil
	}
	return out.text(list.table())
}

// areNo is "1 queue is" or "2 queues are".
func areNo(n int) string {
	if n == 1 {
		return "1 queue is"
	}
	return count(n, "queue") + " are"
}

func (l *queueList) table() string {
	header, cells := []any{"METHOD", "READY", "SERVERS", "DEAD"}, amqpCells
	if l.Source == "management" {
		header = []any{"METHOD", "READY", "UNACKED", "SERVERS", "DEAD", "IN/S", "OUT/S", "TYPE", "MEMORY", "LEADER"}
		cells = managementCells
	}
	rows := newSheet(header...)
	for _, q := range l.Queues {
		row := []any{q.Name, "no queue"}
		switch {
		case q.Refused != "":
			row[1] = "refused: " + q.Refused
		case q.Exists:
			row = append(row[:1], cells(q)...)
		case q.Dead != nil:
			row[1] = "no queue; parked: " + strconv.Itoa(*q.Dead)
		}
		rows.row(row...)
	}
	return rows.String()
}

func amqpCells(q *queueRow) []any {
	return []any{q.Ready, q.Consumers, orNone(q.Dead)}
}

func managementCells(q *queueRow) []any {
	return []any{
		q.Ready, q.Unacked, q.Consumers, orNone(q.Dead),
		fmt.Sprintf("%.1f", q.InPerSecond), fmt.Sprintf("%.1f", q.OutPerSecond), q.Type,
		fmt.Sprintf("%d KiB", q.MemoryBytes>>10), q.Leader + unlessRunning(q.State),
	}
}

// unlessRunning tells a state that is news.
func unlessRunning(state string) string {
	if state == "" || state == "running" || state == "idle" {
		return ""
	}
	return " (" + state + ")"
}

func orNone(n *int) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(*n)
}
