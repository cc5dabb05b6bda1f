package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

func printQueues(out *output, list *queueList) error {
	if out.json {
		return out.object(list)
	}
	if list.Hidden > 0 {
		out.note("%s no method; see --all", areNo(list.Hidden))
	}
	if len(list.Queues) == 0 {
		out.note("the virtual host %q has no methods", list.VHost)
		return nil
	}
	return out.printf("%s", list.table())
}

// areNo is "1 queue is" or "2 queues are".
func areNo(n int) string {
	if n == 1 {
		return "1 queue is"
	}
	return count(n, "queue") + " are"
}

func (l *queueList) table() string {
	header, cells := "METHOD\tREADY\tSERVERS\tDEAD", amqpCells
	if l.Source == "management" {
		header, cells = "METHOD\tREADY\tUNACKED\tSERVERS\tDEAD\tIN/S\tOUT/S\tTYPE\tMEMORY\tLEADER", managementCells
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, header)
	for _, q := range l.Queues {
		row := []string{oneLine(q.Name), "no queue"}
		switch {
		case q.Refused != "":
			row[1] = "refused: " + oneLine(q.Refused)
		case q.Exists:
			row = append(row[:1], cells(q)...)
		case q.Dead != nil:
			row[1] = "no queue; parked: " + strconv.Itoa(*q.Dead)
		}
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // into memory
	return b.String()
}

func amqpCells(q *queueRow) []string {
	return []string{strconv.Itoa(q.Ready), strconv.Itoa(q.Consumers), orNone(q.Dead)}
}

func managementCells(q *queueRow) []string {
	return []string{
		strconv.Itoa(q.Ready), strconv.Itoa(q.Unacked), strconv.Itoa(q.Consumers), orNone(q.Dead),
		fmt.Sprintf("%.1f", q.InPerSecond), fmt.Sprintf("%.1f", q.OutPerSecond), oneLine(q.Type),
		fmt.Sprintf("%d KiB", q.MemoryBytes>>10), oneLine(q.Leader + unlessRunning(q.State)),
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
