package db

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/rekoncile/rekoncile/internal/fetch"
)

// RequestCounter tells how often hosts were asked, by host and day, since it began to count.
type RequestCounter interface{ Usage() []fetch.Usage }

// HostRequests is how often a host was asked on a day.
type HostRequests struct {
	Host string
	// Day begins at midnight UTC.
	Day      time.Time
	Requests int64
}

// requestCount is what the record has of a counter.
type requestCount struct {
	mu   sync.Mutex
	of   RequestCounter // nil for none
	kept map[fetch.Usage]int64
}

// hostDay names one count of requests: it is the count without its number.
func hostDay(u fetch.Usage) fetch.Usage {
	u.Requests = 0
	return u
}

// CountRequests has every transaction keep what the counter counts from now on, so that no more is lost to a kill than what was
// asked since the last of them. A record has one counter.
func (db *DB) CountRequests(of RequestCounter) {
	c := &db.requests
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of, c.kept = of, map[fetch.Usage]int64{}
	for _, u := range of.Usage() {
		c.kept[hostDay(u)] = u.Requests
	}
}

// fresh takes what was counted since it was last called.
func (c *requestCount) fresh() []fetch.Usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		return nil
	}
	var more []fetch.Usage
	for _, u := range c.of.Usage() {
		if total := u.Requests; total > c.kept[hostDay(u)] {
			u.Requests -= c.kept[hostDay(u)]
			more, c.kept[hostDay(u)] = append(more, u), total
		}
	}
	return more
}

// restore gives back what was taken and not kept.
func (c *requestCount) restore(taken []fetch.Usage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range taken {
		c.kept[hostDay(u)] -= u.Requests
	}
}

// keepRequests adds counts to the record.
func keepRequests(ctx context.Context, tx *sql.Tx, counts []fetch.Usage) error {
	for _, u := range counts {
		day, err := time.Parse(time.DateOnly, u.Day)
		if err != nil {
			return fmt.Errorf("requests to %s: %w", u.Host, err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO host_requests (host, day, requests) VALUES (?, ?, ?)
			ON CONFLICT (host, day) DO UPDATE SET requests = requests + excluded.requests`, u.Host, dayOf(day), u.Requests); err != nil {
			return err
		}
	}
	return nil
}

// KeepRequests keeps what was counted since the last transaction.
func (db *DB) KeepRequests(ctx context.Context) error {
	return db.write(ctx, "count requests", func(*sql.Tx) error { return nil })
}

// keepLastRequests keeps what was counted since the last transaction, if anything was: a record that was only looked at is not
// written to.
func (db *DB) keepLastRequests(ctx context.Context) error {
	counts := db.requests.fresh()
	if len(counts) == 0 {
		return nil
	}
	db.requests.restore(counts)
	return db.KeepRequests(ctx)
}

// Asked keeps what was counted, and says how often a host was asked on the day (UTC) of an instant.
func (db *DB) Asked(ctx context.Context, host string, at time.Time) (n int64, err error) {
	if err := db.KeepRequests(ctx); err != nil {
		return 0, err
	}
	err = db.r.QueryRowContext(ctx, `SELECT coalesce(sum(requests), 0) FROM host_requests WHERE host = ? AND day = ?`, host, dayOf(at)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("requests to %s in the record: %w", host, err)
	}
	return n, nil
}

// RequestsOn lists how often each host was asked on the day (UTC) of an instant, by host.
func (db *DB) RequestsOn(ctx context.Context, at time.Time) ([]HostRequests, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT host, day, requests FROM host_requests WHERE day = ? ORDER BY host`, dayOf(at))
	if err != nil {
		return nil, fmt.Errorf("requests in the record: %w", err)
	}
	defer rows.Close()
	var all []HostRequests
	for rows.Next() {
		var h HostRequests
		var day int64
		if err := rows.Scan(&h.Host, &day, &h.Requests); err != nil {
			return nil, fmt.Errorf("requests in the record: %w", err)
		}
		h.Day = time.Unix(day*secondsADay, 0).UTC()
		all = append(all, h)
	}
	return all, rows.Err()
}

const secondsADay = 24 * 60 * 60

// dayOf is the day of an instant, in days since 1970-01-01 UTC.
func dayOf(t time.Time) int64 { return t.Unix() / secondsADay }
