package main

import (
	"fmt"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
)

// bookPeriod is how long a period of the books is.
const bookPeriod = 28 * day

// books are what the project's jobs signed, counted by who made them happen: by the period in which the certificate was issued.
type books map[int]*periodBooks

// periodBooks are those of a period: certificates and entries by grade, the entries that nothing can account for, and how many files
// were published.
type periodBooks struct {
	Certificates, Entries, Open map[string]int
	Files                       int
}

// of returns the books of the period in which something happened, so long after the beginning.
func (b books) of(at time.Duration) *periodBooks {
	n := int(at / bookPeriod)
	if b[n] == nil {
		b[n] = &periodBooks{Certificates: map[string]int{}, Entries: map[string]int{}, Open: map[string]int{}}
	}
	return b[n]
}

// job notes that a job of a grade, whose certificate was issued at an instant since the beginning, signed so many entries, some of
// which are for nothing that was published.
func (b books) job(grade string, issued time.Duration, entries, open int) {
	if issued < 0 {
		return
	}
	p := b.of(issued)
	p.Certificates[grade]++
	p.Entries[grade] += entries
	if open > 0 {
		p.Open[grade] += open
	}
}

// signed has an event note what it signs when it happens. A job's certificate is issued two minutes before it ends.
func (y *year) signed(grade string, entries, open int, do func() error) func() error {
	return func() error {
		y.books.job(grade, y.clock.Now().Add(-2*time.Minute).Sub(y.from), entries, open)
		return do()
	}
}

// published has an event note how many files it publishes when it happens. They are uploaded a minute before it ends.
func (y *year) published(files int, do func() error) func() error {
	return func() error {
		y.books.of(y.clock.Now().Add(-time.Minute).Sub(y.from)).Files += files
		return do()
	}
}

// balanced demands that the books which the monitor states of every period are those that were kept of what happened.
func (y *year) balanced(tb testing.TB, record *db.DB) {
	tb.Helper()
	watch, err := watchList(y.scenario.pass.cfg)
	if err != nil {
		tb.Fatal(err)
	}
	for n := range (time.Duration(y.days)*day + bookPeriod - 1) / bookPeriod {
		since := y.from.Add(n * bookPeriod)
		status, err := y.scenario.pass.app.readStatus(tb.Context(), y.scenario.pass.cfg, record, watch.Hash(), audit.Span{Since: since, Until: since.Add(bookPeriod)})
		if err != nil {
			tb.Fatal(err)
		}
		if len(status.Balances) != 1 {
			tb.Fatalf("balances of %d projects", len(status.Balances))
		}
		stated := status.Balances[0]
		got := &periodBooks{Certificates: map[string]int{}, Entries: map[string]int{}, Open: map[string]int{}}
		total := 0
		for _, line := range stated.Certificates.Accounted {
			got.Certificates[line.Grade] += line.Count
			total += line.Count
		}
		if len(stated.Certificates.Open) > 0 || total != stated.Certificates.Total {
			tb.Errorf("period %d: certificates: %d, of which %v are open", n+1, stated.Certificates.Total, stated.Certificates.Open)
		}
		total = 0
		for _, line := range stated.Entries.Accounted {
			got.Entries[line.Grade] += line.Count
			total += line.Count
		}
		for _, line := range stated.Entries.Open {
			got.Entries[line.Grade] += line.Count
			got.Open[line.Grade] += line.Count
			total += line.Count
			if line.Kind != string(audit.OpenUnaccounted) {
				tb.Errorf("period %d: %d entries of %s are open as %s", n+1, line.Count, line.Grade, line.Kind)
			}
		}
		if total != stated.Entries.Total {
			tb.Errorf("period %d: %d entries, and the lines add up to %d", n+1, stated.Entries.Total, total)
		}
		for state, count := range stated.Files {
			got.Files += count
			if state != audit.FileVerified && state != audit.FileGone { // weekly builds are deleted after each release
				tb.Errorf("period %d: %d files are %s", n+1, count, state)
			}
		}
		if d := diff.Diff(y.books[int(n)], got); d != "" {
			tb.Errorf("period %d, what was signed and published (-made +stated):\n%s", n+1, d)
		}
		y.log = append(y.log, fmt.Sprintf("period %d: %d certificates, %d entries, %d open, %d files", n+1, stated.Certificates.Total, total, sum(got.Open), got.Files))
	}
}

func sum(counts map[string]int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}
