package audit

import (
	"context"
	"math"
	"sync"

	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
)

// Rekor1Budget is how many requests the log's host may be asked, whatever for; zero is no limit.
//
// All that is asked of the host on a day counts, and each kind of work stops while there is room for what is more urgent: what
// reads in bulk, windows and full tails, at three quarters of the day; what is asked by name and can wait at seven eighths, and
// at half of a pass. What is urgent, a new certificate in a watched name, may use all of it.
type Rekor1Budget struct {
	Pass, Day int
}

// urgent is how many requests a pass has for what is urgent, on a day that had so many already.
func (b Rekor1Budget) urgent(today int) int { return within(b.Pass, b.Day, b.Day, today) }

// backfill is how many it has for what can wait.
func (b Rekor1Budget) backfill(today int) int {
	pass := b.Pass
	if pass > 0 {
		pass = max(1, pass/2)
	}
	return within(pass, b.Day, b.Day-b.Day/8, today)
}

// Bulk is how many requests a day that had so many already has for what reads in bulk.
func (b Rekor1Budget) Bulk(today int) int { return within(0, b.Day, b.Day-b.Day/4, today) }

// Asked is how many requests such a day has for what somebody asks for, who waits for it.
func (b Rekor1Budget) Asked(today int) int { return within(0, b.Day, b.Day, today) }

// within is what a pass and a share of a day leave; of these zero is no limit.
func within(pass, day, share, today int) int {
	left := math.MaxInt
	if pass > 0 {
		left = pass
	}
	if day > 0 {
		left = max(0, min(left, share-today))
	}
	return left
}

// meter counts the requests of a pass, and refuses those that its budget does not have.
type meter struct {
	tiles.Fetcher
	backfill int // the limit for what is not urgent

	mu           sync.Mutex
	limit, spent int
}

// Do implements [tiles.Fetcher].
func (m *meter) Do(ctx context.Context, q fetch.Request) (*fetch.Response, error) {
	m.mu.Lock()
	if m.spent >= m.limit {
		m.mu.Unlock()
		return nil, errSpent
	}
	m.spent++
	m.mu.Unlock()
	return m.Fetcher.Do(ctx, q)
}

// room reports whether so many more requests may be made.
func (m *meter) room(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return n <= m.limit-m.spent
}

// hold keeps the rest of the budget for what is urgent.
func (m *meter) hold() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = min(m.limit, m.backfill)
}

// total is how many requests were made.
func (m *meter) total() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spent
}
